//! JSON as text, made before the database is asked.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::Error;

/// Writes a value as JSON text.
pub(crate) fn text_of<T: Serialize + ?Sized>(
    what: &'static str,
    value: &T,
) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|reason| Error::NotJson { what, reason })
}

/// Returns a text if it is JSON. The database would refuse another too, and with it the whole
/// transaction.
pub(crate) fn checked(what: &'static str, text: String) -> Result<String, Error> {
    let read: Result<&RawValue, _> = serde_json::from_str(&text);
    match read {
        Ok(_) => Ok(text),
        Err(reason) => Err(Error::NotJson { what, reason }),
    }
}
