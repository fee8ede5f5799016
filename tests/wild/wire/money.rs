//! Amounts in the smaller unit of their currency: there are currencies with no smaller unit, and
//! with thousandths.

use serde_json::json;

use super::{field, sent};

const PAID: &str = r#"{"yen": {"amount": 500, "currency": "JPY"}, "euro": {"amount": 1234.5, "currency": "eur"},
    "dinar": {"amount": 1.234, "currency": "KWD"}, "unit": {"amount": 2.5, "currency": "CLF"},
    "gold": {"amount": 1, "currency": "XAU"}, "fantasy": {"amount": 1, "currency": "ZZZ"},
    "number": {"amount": 1, "currency": 978}, "none": {"amount": 1},
    "broken": {"amount": 0.5, "currency": "JPY"}, "minor": {"amount": 500, "currency": "JPY"}}"#;

#[tokio::test]
async fn an_amount_has_the_decimals_of_its_own_currency_or_is_not_sent() {
    let of = |name: &str, step: &str| {
        let format = format!("{step}:/{name}/currency");
        json!({"fields": field("amount", &format!("/{name}/amount"), &format)})
    };
    let cases = [
        (of("yen", "minor"), Ok(r#"{"amount":500}"#)),
        (of("euro", "minor"), Ok(r#"{"amount":123450}"#)),
        (of("dinar", "minor"), Ok(r#"{"amount":1234}"#)),
        (of("unit", "minor"), Ok(r#"{"amount":25000}"#)),
        // The other steps that count decimals.
        (of("yen", "major"), Ok(r#"{"amount":500}"#)),
        (of("yen", "decimal"), Ok(r#"{"amount":500}"#)),
        (of("euro", "decimal"), Ok(r#"{"amount":1234.50}"#)),
        (of("dinar", "decimal"), Ok(r#"{"amount":1.234}"#)),
        // What is said by hand still holds.
        (
            json!({"fields": field("amount", "/yen/amount", "minor:2")}),
            Ok(r#"{"amount":50000}"#),
        ),
        (
            of("gold", "minor"),
            Err("field `amount`: the code of a currency without a smaller unit at /gold/currency"),
        ),
        (
            of("fantasy", "minor"),
            Err("field `amount`: text that is no currency's code at /fantasy/currency"),
        ),
        (
            of("number", "minor"),
            Err("field `amount`: a number at /number/currency"),
        ),
        (
            of("none", "minor"),
            Err("field `amount`: nothing at /none/currency"),
        ),
        (
            of("broken", "minor"),
            Err(
                "field `amount`: a number with more decimals does not fit its format minor:/broken/currency",
            ),
        ),
    ];
    let (settings, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    for (found, expected) in sent(PAID, settings).await.into_iter().zip(expected) {
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.text(), expected),
            (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
            (found, expected) => panic!("{:?} and not {expected:?}", found.map(|it| it.body)),
        }
    }
}
