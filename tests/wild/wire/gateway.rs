//! What the gateway answers: receipts, words, forms.

use crate::support::http::{ask, http};
use crate::support::{Database, PATIENCE, Setup};

async fn session(database: &Database, transaction: &str, more: &str) -> String {
    database
        .value(&format!(
            "SELECT posthorn.issue_session('acme', '{transaction}'{more})"
        ))
        .await
}

async fn receipt(gateway: &str, token: &str) -> (u16, String) {
    let form = format!("transactionAction=ViewReceipt&singleSignOnToken={token}&");
    ask(http()
        .post(format!("{gateway}/payment/NVP.aspx"))
        .body(form))
    .await
}

async fn status_by_soap(gateway: &str, namespace: &str, token: &str) -> (u16, String) {
    let envelope = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
         <GetSSOTokenStatus xmlns=\"{namespace}\">{token}</GetSSOTokenStatus></s:Body></s:Envelope>"
    );
    let request = http()
        .post(format!("{gateway}/Forms/WebServices/SSOService.asmx"))
        .header("Content-Type", "text/xml; charset=utf-8")
        .body(envelope);
    ask(request).await
}

#[tokio::test]
async fn a_receipt_is_of_the_event_that_completed_the_session_from_then_on() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let approved = session(&database, "t1", ", complete_on => '{approved}'").await;
    let any = session(&database, "t1", "").await;
    let publish =
        async |status: &str, data: &str| database.publish("acme", "t1", status, data).await;
    publish("processing", r#"{"responseMessage": "wait"}"#).await;
    assert_eq!(
        receipt(&gateway, &any).await,
        (200, "responseMessage=wait".to_owned())
    );
    assert_eq!(receipt(&gateway, &approved).await.0, 400);
    publish(
        "approved",
        r#"{"responseMessage": "paid", "lastFourDigits": "1111"}"#,
    )
    .await;
    let paid = (200, "lastFourDigits=1111&responseMessage=paid".to_owned());
    crate::support::until(PATIENCE, "the receipt", async || {
        (receipt(&gateway, &approved).await == paid).then_some(())
    })
    .await;
    for (status, data) in [
        ("settled", r#"{"batch": 7}"#),
        ("approved", r#"{"responseMessage": "again"}"#),
        ("voided", "{}"),
    ] {
        publish(status, data).await;
    }
    assert_eq!(receipt(&gateway, &approved).await, paid);
    assert_eq!(receipt(&gateway, &any).await.1, "responseMessage=wait");
    // Another gateway, which has not seen the session before, says the same.
    let other = Setup::gateway(&database).start().await;
    assert_eq!(receipt(&other.gateway(), &approved).await, paid);
}

#[tokio::test]
async fn a_completed_session_says_the_pages_word_in_each_form() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let token = session(&database, "t1", "").await;
    let own = session(&database, "t1", ", complete_as => 'COMPLETE'").await;
    database.publish("acme", "t1", "approved", "{}").await;
    for (token, word) in [(&token, "complete"), (&own, "COMPLETE")] {
        let asked = http()
            .get(format!("{gateway}/v1/session?wait=30s"))
            .bearer_auth(token);
        assert!(
            ask(asked)
                .await
                .1
                .contains(&format!("\"state\":\"{word}\""))
        );
        let (_, said) = status_by_soap(&gateway, "urn:x", &format!("<token>{token}</token>")).await;
        assert!(said.contains(&format!("Result>{word}<")), "{said}");
    }
    let issued = http()
        .post(format!("{gateway}/v1/sessions"))
        .bearer_auth(
            database
                .value::<String>("SELECT posthorn.issue_token('acme', 'api')")
                .await,
        )
        .body(r#"{"transaction": "t1"}"#);
    let issued: serde_json::Value = serde_json::from_str(&ask(issued).await.1).unwrap();
    let asked = http()
        .get(format!("{gateway}/v1/session"))
        .bearer_auth(issued["token"].as_str().unwrap());
    assert!(ask(asked).await.1.contains("\"state\":\"complete\""));
}

#[tokio::test]
async fn soap_says_a_namespace_as_it_came_and_expired_of_an_empty_token() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    for namespace in [
        "https://h/?a=1&amp;b=2",
        "urn:&lt;x&gt;",
        "urn:it&apos;s&#32;&quot;",
    ] {
        let (status, said) = status_by_soap(&gateway, namespace, "<token>nobody's</token>").await;
        assert_eq!(status, 200, "{said}");
        assert!(
            !said.contains("&amp;amp;")
                && !said.contains("&amp;lt;")
                && !said.contains("&amp;quot;"),
            "{said}"
        );
    }
    let (_, said) = status_by_soap(&gateway, "https://h/?a=1&amp;b=2", "<token>x</token>").await;
    assert!(said.contains("xmlns=\"https://h/?a=1&amp;b=2\""), "{said}");
    for token in [
        "<token/>",
        "<token></token>",
        "<token>  </token>",
        "<token xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:nil=\"true\"/>",
    ] {
        let (status, said) = status_by_soap(&gateway, "urn:x", token).await;
        assert_eq!(status, 200, "{token}: {said}");
        assert!(said.contains("Result>EXPIRED<"), "{token}: {said}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let database = Database::new().await;
    let worker = Setup::new(&database).start().await;
    let gateway = Setup::gateway(&database).start().await;
    for address in [worker.address(), gateway.address()] {
        let url = format!("http://{address}/metrics");
        for (accept, content_type, ends) in [
            (None, "text/plain; version=0.0.4; charset=utf-8", false),
            (
                Some("text/plain;version=0.0.4"),
                "text/plain; version=0.0.4; charset=utf-8",
                false,
            ),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ),
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                true,
            ),
        ] {
            let mut request = http().get(&url);
            if let Some(accept) = accept {
                request = request.header("Accept", accept);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["content-type"], content_type);
            let text = response.text().await.unwrap();
            assert_eq!(text.ends_with("# EOF\n"), ends);
            let counter = if ends {
                "posthorn_events_read"
            } else {
                "posthorn_events_read_total"
            };
            assert!(text.contains(&format!("# HELP {counter} ")), "{accept:?}");
            assert!(
                text.contains(&format!("# TYPE {counter} counter\n")),
                "{accept:?}"
            );
        }
    }
}
