//! The data of the events: JSON of 500 bytes that carries the event's number.

/// The size that issue figures and the floor's bodies share.
const BYTES: usize = 500;

/// Stands for the event's number in the template, and is as long.
pub const NUMBER: &str = "@@@@@@@@@";

const HEAD: &str = r#"{"number":"@@@@@@@@@","type":"payment","status":"approved","amount":{"value":129.90,"currency":"EUR"},"card":{"brand":"visa","last4":"4242"},"description":""#;
const TAIL: &str = r#""}"#;

/// `data` with [`NUMBER`] in the place of the number; PostgreSQL fills it in as well.
pub fn template() -> String {
    let filler = "Order of 3 articles, paid in one amount; ".chars().cycle();
    let filler: String = filler.take(BYTES - HEAD.len() - TAIL.len()).collect();
    [HEAD, &filler, TAIL].concat()
}

pub fn data(template: &str, number: usize) -> String {
    template.replace(NUMBER, &format!("{number:0width$}", width = NUMBER.len()))
}
