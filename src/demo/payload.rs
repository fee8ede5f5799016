//! What the demo's transactions look like: invented, but of the shape of the real ones.

use uuid::Uuid;

pub fn hex_id() -> String {
    Uuid::now_v7().simple().to_string()
}

pub fn uuid_id() -> String {
    Uuid::now_v7().to_string()
}

pub fn ten_digits() -> String {
    rand::random_range(1_000_000_000_u64..10_000_000_000).to_string()
}

pub fn serial() -> String {
    format!("T-{:08}", rand::random_range(0..100_000_000_u32))
}

/// Writes cents as a decimal amount, such as `12.05`.
fn amount(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

pub fn clinic(id: &str, status: &str, cents: u32) -> String {
    let authorization = if status == "Approved" {
        r#","AuthorizationNumber":"A63H73""#
    } else {
        ""
    };
    format!(
        r#"{{"TransactionID":"{id}","PatientID":"P-{}","Amount":"{}"{authorization}}}"#,
        cents % 997,
        amount(cents)
    )
}

pub fn lender(id: &str, status: &str, _: u32) -> String {
    format!(r#"{{"id":"{id}","status":"{status}"}}"#)
}

pub fn notary(_: &str, _: &str, _: u32) -> String {
    format!(
        r#"{{"token":"{}"}}"#,
        uuid::Builder::from_random_bytes(rand::random()).into_uuid()
    )
}

/// The data of an arcade's event. `messsage` is how the field is spelt (WIRE.md 3.2); the number
/// keeps its text.
pub fn arcade(id: &str, status: &str, cents: u32) -> String {
    let amount = amount(cents);
    format!(
        r#"{{"transactionNumber":"{id}","statusName":"{status}","amount":{amount},"messsage":"","items":[{{"name":"Air hockey","price":{amount}}}],"settlement":{{"status":{},"confirmations":[]}},"posData":{{"till":3,"shift":"late"}}}}"#,
        u8::from(status == "done") * 2
    )
}

pub fn car_rental(id: &str, status: &str, cents: u32) -> String {
    format!(
        r#"{{"deposit":{{"id":"{id}","state":"{status}","amount":{{"value":"{}","currency":"EUR"}}}}}}"#,
        amount(cents)
    )
}
