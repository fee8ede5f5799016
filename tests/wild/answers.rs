//! How receivers answer and how they treat connections.

mod bodies;
mod early;
mod heads;
mod kept;
mod raw;
mod requests;

use serde_json::{Value, json};

/// One try in the time of a test, with further settings.
fn once(url: &str, more: Value) -> Value {
    let mut settings = json!({"url": url, "retry": "fixed", "retry_interval": "1h"});
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    settings
}
