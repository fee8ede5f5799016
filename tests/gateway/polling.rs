//! The polling page (WIRE.md 2): the token's state, and the details.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{ask, http, json};
use crate::support::{Database, Setup};

/// The page's own example, byte for byte.
const REQUEST: &str = "merchantID=6011000551245&storeID=001&terminalID=002&transactionAction=ViewReceipt&requestToken=false&allowPartialPayment=false&singleSignOnToken=NTJmY2Y5NmMtOTg2Yi00NDM0LTk2ZWYtZjc3OGE1OTVhN2Qz&";
const TOKEN: &str = "NTJmY2Y5NmMtOTg2Yi00NDM0LTk2ZWYtZjc3OGE1OTVhN2Qz";

/// The page shows the values unescaped; a form carries them so.
const RESPONSE: &str = "IsEMVVerifiedByPIN=false&isEMVTransaction=false&EMVCardEntryMode=Swiped&cardBrand=VISA&cardExpirationMonth=6&cardExpirationYear=2017&cardBINNumber=411111&cardHolderName=+&lastFourDigits=1111&authorizationNumber=A3807B&responseCode=010&responseMessage=Partially+Approved+%241.00&transactionStatus=D&primaryTransactionID=0ca7530a86084b468fff132ab7f04491&authorizationText=I+AGREE+TO+PAY+THE+ABOVE+AMOUNT+ACCORDING+TO+MY+CARD+HOLDER+AGREEMENT.&transactionID=0ca7530a86084b468fff132ab7f04491&transactionDate=2016-01-15T20%3A37%3A21.5238539Z";

/// What the provider publishes of it; the order and the rest are its own.
const DATA: &str = r#"{
  "transactionID": "0ca7530a86084b468fff132ab7f04491", "transactionDate": "2016-01-15T20:37:21.5238539Z",
  "primaryTransactionID": "0ca7530a86084b468fff132ab7f04491", "patient": {"name": "of no concern"},
  "responseCode": "010", "responseMessage": "Partially Approved $1.00", "transactionStatus": "D",
  "authorizationNumber": "A3807B", "lastFourDigits": "1111", "cardHolderName": " ",
  "cardBINNumber": "411111", "cardExpirationYear": 2017, "cardExpirationMonth": 6, "cardBrand": "VISA",
  "EMVCardEntryMode": "Swiped", "isEMVTransaction": false, "IsEMVVerifiedByPIN": false,
  "authorizationText": "I AGREE TO PAY THE ABOVE AMOUNT ACCORDING TO MY CARD HOLDER AGREEMENT."
}"#;

const TRANSACTION: &str = "0ca7530a86084b468fff132ab7f04491";

fn soap(version: &str, token: &str) -> String {
    let namespace = match version {
        "1.1" => "http://schemas.xmlsoap.org/soap/envelope/",
        _ => "http://www.w3.org/2003/05/soap-envelope",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap:Envelope xmlns:soap=\"{namespace}\"><soap:Body>\
         <GetSSOTokenStatus xmlns=\"http://vendor.example/\"><token>{token}</token></GetSSOTokenStatus>\
         </soap:Body></soap:Envelope>"
    )
}

/// The state by SOAP 1.1, by 1.2 and by JSON, which all say the same.
async fn state(gateway: &str, token: &str) -> String {
    let client = http();
    let mut said = Vec::new();
    for (version, content_type) in [
        ("1.1", "text/xml; charset=utf-8"),
        ("1.2", "application/soap+xml; charset=utf-8"),
    ] {
        let request = client
            .post(format!("{gateway}/Forms/WebServices/SSOService.asmx"))
            .header("Content-Type", content_type)
            .body(soap(version, token));
        let (status, body) = ask(request).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("<GetSSOTokenStatusResponse xmlns=\"http://vendor.example/\">"));
        let rest = body.split_once("<GetSSOTokenStatusResult>").unwrap().1;
        said.push(rest.split_once('<').unwrap().0.to_owned());
    }
    let request = client
        .get(format!("{gateway}/v1/session"))
        .bearer_auth(token);
    said.push(json(request).await["state"].as_str().unwrap().to_owned());
    assert!(said.windows(2).all(|two| two[0] == two[1]), "{said:?}");
    said.remove(0)
}

#[tokio::test]
async fn the_pages_example_is_answered_byte_for_byte() {
    let database = Database::new().await;
    // The page's own token in the place of one that Posthorn makes.
    database
        .execute(&format!(
            "INSERT INTO posthorn.sessions (token_hash, merchant, transaction_id, complete_as, expires_at)
             VALUES (posthorn.token_hash('{TOKEN}'), 'acme', '{TRANSACTION}', 'complete', now() + interval '15 minutes')"
        ))
        .await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let details = async || {
        let response = http()
            .post(format!("{gateway}/payment/NVP.aspx"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(REQUEST)
            .send()
            .await
            .unwrap();
        assert_eq!(
            response.headers()["content-type"],
            "application/x-www-form-urlencoded"
        );
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(state(&gateway, TOKEN).await, "NEW");
    let (status, body) = details().await;
    assert_eq!(status, 400);
    assert!(
        body.starts_with("responseCode=malformed&responseMessage=the+transaction+is+not"),
        "{body}"
    );

    database.publish("acme", TRANSACTION, "D", DATA).await;
    let waited = json(
        http()
            .get(format!("{gateway}/v1/session?wait=30s"))
            .bearer_auth(TOKEN),
    );
    assert_eq!(waited.await["state"], "complete");
    assert_eq!(state(&gateway, TOKEN).await, "complete");
    assert_eq!(details().await, (200, RESPONSE.to_owned()));

    // Whatever comes later, the receipt is of what completed the session.
    let newer = DATA.replace("A3807B", "B9");
    database.publish("acme", TRANSACTION, "V", &newer).await;
    assert_eq!(details().await, (200, RESPONSE.to_owned()));
}

#[tokio::test]
async fn a_session_is_new_until_its_transaction_completes_or_it_expires() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let token = database
        .session("acme", "t1", ", complete_on => '{approved,declined*}'")
        .await;
    let short = database
        .session("acme", "t1", ", lifetime => '1 second'")
        .await;
    let other = database.session("other", "t1", "").await;
    assert_eq!(state(&gateway, &token).await, "NEW");
    let ended = http()
        .get(format!("{gateway}/v1/session?wait=30s"))
        .bearer_auth(&short);
    assert_eq!(json(ended).await["state"], "EXPIRED");
    database.publish("acme", "t1", "pending", "{}").await;
    database.publish("acme", "t2", "approved", "{}").await;
    // Long-polls wait through what does not complete them.
    let waiting = http()
        .get(format!("{gateway}/v1/session?wait=2s"))
        .bearer_auth(&token);
    assert_eq!(json(waiting).await["state"], "NEW");
    database
        .publish("acme", "t1", "declined by issuer", "{}")
        .await;
    let waiting = http()
        .get(format!("{gateway}/v1/session?wait=30s"))
        .bearer_auth(&token);
    assert_eq!(json(waiting).await["state"], "complete");
    assert_eq!(state(&gateway, &token).await, "complete");
    // What came too late completes nothing, and another merchant's t1 is another one.
    assert_eq!(state(&gateway, &short).await, "EXPIRED");
    assert_eq!(state(&gateway, &other).await, "NEW");
    // Nobody is told which tokens there are.
    assert_eq!(
        state(&gateway, "phs_nobody-was-ever-given-this").await,
        "EXPIRED"
    );
}

#[tokio::test]
async fn a_client_that_waits_learns_of_it_within_moments() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let token = database.session("acme", "t1", "").await;
    let url = format!("{}/v1/session?wait=30s", running.gateway());
    let waiting = tokio::spawn(json(http().get(url).bearer_auth(token)));
    crate::support::until(Duration::from_secs(20), "a client that waits", async || {
        let open = running
            .metric("posthorn_gateway_open{transport=\"wait\"}")
            .await;
        (open > 0.0).then_some(())
    })
    .await;
    database.publish("acme", "t1", "approved", "{}").await;
    let committed = Instant::now();
    assert_eq!(waiting.await.unwrap()["state"], "complete");
    let took = committed.elapsed();
    // Ten seconds is what the page's client takes; the rest is for a machine under load.
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn sessions_are_issued_over_http_too() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let merchant = database.token("acme").await;
    let issue = async |body: serde_json::Value| {
        let request = http()
            .post(format!("{gateway}/v1/sessions"))
            .bearer_auth(&merchant)
            .body(body.to_string());
        ask(request).await
    };
    let (status, body) =
        issue(json!({"transaction": "t1", "lifetime": "5m", "complete_as": "complete"})).await;
    assert_eq!(status, 201, "{body}");
    let issued: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(issued["expires_in"], 300);
    let token = issued["token"].as_str().unwrap();
    assert!(token.starts_with("phs_") && token.len() > 40);
    database.publish("acme", "t1", "approved", "{}").await;
    assert_eq!(state(&gateway, token).await, "complete");
    // Only the hash is kept.
    let kept: String = database
        .value("SELECT string_agg(s::text, '') FROM posthorn.sessions s")
        .await;
    assert!(!kept.contains(&token[4..]));

    for wrong in [
        json!({}),
        json!({"transaction": "t1", "device": "d1"}),
        json!({"transaction": ""}),
        json!({"transaction": "t1", "lifetime": "2years"}),
        json!({"transaction": "t1", "complete_as": "NO SPACES"}),
        json!({"transaction": "t1", "unknown": 1}),
        json!({"transaction": "a\u{0}b"}),
    ] {
        let (status, body) = issue(wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}: {body}");
    }
    let anybody = http()
        .post(format!("{gateway}/v1/sessions"))
        .bearer_auth(token)
        .body("{\"transaction\": \"t2\"}");
    assert_eq!(ask(anybody).await.0, 401, "a session issues no sessions");
}

#[tokio::test]
async fn a_token_opens_its_one_transaction_alone() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let url = format!("{}/payment/NVP.aspx", running.gateway());
    database
        .publish("acme", "t1", "approved", r#"{"transactionID": "t1"}"#)
        .await;
    database
        .publish("acme", "t2", "approved", r#"{"transactionID": "t2"}"#)
        .await;
    let token = database.session("acme", "t1", "").await;
    let api = database.token("acme").await;
    let details = async |body: String| ask(http().post(&url).body(body)).await;
    let with = |token: &str, more: &str| {
        format!("transactionAction=ViewReceipt&singleSignOnToken={token}{more}")
    };
    let (status, body) = details(with(&token, "&transactionID=t2&merchantID=other")).await;
    assert_eq!((status, body.as_str()), (200, "transactionID=t1"));
    for (body, expected) in [
        (with("phs_unknown", ""), 401),
        (with(&api, ""), 401),
        (with("", ""), 401),
        ("transactionAction=ViewReceipt".to_owned(), 401),
        (
            format!("transactionAction=Void&singleSignOnToken={token}"),
            400,
        ),
        (String::new(), 400),
    ] {
        let (status, answer) = details(body.clone()).await;
        assert_eq!(status, expected, "{body}: {answer}");
        assert!(answer.starts_with("responseCode="), "{answer}");
        assert!(answer.contains("&responseMessage="), "{answer}");
    }
}
