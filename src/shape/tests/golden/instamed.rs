//! Seed pages 000 and 001; WIRE.md 1 and 2. The webhook's own field names are not public:
//! the 17 of the polling response stand for them.

use super::*;

const URL: &str = "https://merchant.example/instamed";

/// The response of seed page 000, its values as they are.
const FIELDS: [(&str, &str); 17] = [
    ("IsEMVVerifiedByPIN", "false"),
    ("isEMVTransaction", "false"),
    ("EMVCardEntryMode", "Swiped"),
    ("cardBrand", "VISA"),
    ("cardExpirationMonth", "6"),
    ("cardExpirationYear", "2017"),
    ("cardBINNumber", "411111"),
    ("cardHolderName", " "),
    ("lastFourDigits", "1111"),
    ("authorizationNumber", "A3807B"),
    ("responseCode", "010"),
    ("responseMessage", "Partially Approved $1.00"),
    ("transactionStatus", "D"),
    ("primaryTransactionID", "0ca7530a86084b468fff132ab7f04491"),
    (
        "authorizationText",
        "I AGREE TO PAY THE ABOVE AMOUNT ACCORDING TO MY CARD HOLDER AGREEMENT.",
    ),
    ("transactionID", "0ca7530a86084b468fff132ab7f04491"),
    ("transactionDate", "2016-01-15T20:37:21.5238539Z"),
];

const NVP: &str = "IsEMVVerifiedByPIN=false&isEMVTransaction=false&EMVCardEntryMode=Swiped\
    &cardBrand=VISA&cardExpirationMonth=6&cardExpirationYear=2017&cardBINNumber=411111\
    &cardHolderName=+&lastFourDigits=1111&authorizationNumber=A3807B&responseCode=010\
    &responseMessage=Partially+Approved+%241.00&transactionStatus=D\
    &primaryTransactionID=0ca7530a86084b468fff132ab7f04491\
    &authorizationText=I+AGREE+TO+PAY+THE+ABOVE+AMOUNT+ACCORDING+TO+MY+CARD+HOLDER+AGREEMENT.\
    &transactionID=0ca7530a86084b468fff132ab7f04491\
    &transactionDate=2016-01-15T20%3A37%3A21.5238539Z";

/// The fields as texts of one JSON object.
fn object() -> String {
    let members = FIELDS.map(|(name, value)| format!(r#""{name}":"{value}""#));
    format!("{{{}}}", members.join(","))
}

fn request(change: impl FnOnce(&mut Settings)) -> String {
    let subscription = subscription("instamed", URL, change);
    wire(&shaped(&with_data(&object()), &subscription, 1).unwrap())
}

#[test]
fn nvp_is_the_default() {
    assert_eq!(
        request(|_| {}),
        format!("POST /instamed\n{FORM}{FIRST}\n{NVP}")
    );
}

/// "Optional: client certificate; Basic".
#[test]
fn nvp_with_basic() {
    let basic = request(|s| {
        s.auth = text("basic");
        s.auth_secret = text("file:user:pass");
    });
    let credential = "authorization: Basic dXNlcjpwYXNz\n";
    assert_eq!(
        basic,
        format!("POST /instamed\n{credential}{FORM}{FIRST}\n{NVP}")
    );
}

#[test]
fn xml_and_json_carry_the_same_fields_in_the_same_order() {
    let elements = FIELDS.map(|(name, value)| format!("<{name}>{value}</{name}>"));
    assert_eq!(
        request(|s| s.encoding = text("xml")),
        format!(
            "POST /instamed\n{XML}{FIRST}\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <notification>{}</notification>",
            elements.concat()
        )
    );
    assert_eq!(
        request(|s| s.encoding = text("json")),
        format!("POST /instamed\n{JSON}{FIRST}\n{}", object())
    );
}

/// WIRE.md 1.7: what the receiver voids or refunds with is never rewritten, not even where
/// it looks like a number.
#[test]
fn a_transaction_id_is_never_rewritten() {
    for id in ["0012345678901234567890", "1e5", "1234.50"] {
        let data = format!(r#"{{"TransactionID":{id:?}}}"#);
        for (encoding, body) in [
            ("json", data.clone()),
            ("nvp", format!("TransactionID={id}")),
            (
                "xml",
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><notification>\
                     <TransactionID>{id}</TransactionID></notification>"
                ),
            ),
        ] {
            let subscription = subscription("instamed", URL, |s| s.encoding = text(encoding));
            assert_eq!(payload(&with_data(&data), &subscription).unwrap(), body);
        }
    }
}
