//! Headers that a receiver, or what stands in front of it, asks for.

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::{Database, PATIENCE, Worker, posthorn, receiver, until};

#[tokio::test]
async fn a_receiver_gets_the_headers_that_it_asks_for_and_a_secret_among_them_stays_one() {
    const SECRET: &str = "s3cret-of-the-gateway";
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", format!("500,body={SECRET}").parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let profile = json!({"X-Shop": "7", "X-Literal": "literal:file:7", "X-Key": format!("file:{}", file.display())});
    database
        .execute(&format!(
            "INSERT INTO posthorn.profiles (name, user_agent, headers, max_attempts)
             VALUES ('shop', 'acme-payments/2.0', '{profile}', 1)"
        ))
        .await;
    let url = receiver.url("/hook");
    database
        .subscribe("acme", "profile's", json!({"profile": "shop", "url": url}))
        .await;
    let own = json!({"profile": "shop", "url": receiver.url("/own"), "user_agent": "own/1", "headers": {"X-Own": "1"}});
    database.subscribe("acme", "own", own).await;
    let worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "T-1", "approved", "{}").await;
    receiver.wait_for(2, PATIENCE).await.unwrap();
    let requests = receiver.requests();
    let of = |path: &str| {
        requests
            .iter()
            .find(|it| it.path_and_query == path)
            .unwrap()
    };
    let shared = &of("/hook").headers;
    assert_eq!(shared["user-agent"], "acme-payments/2.0");
    assert_eq!(shared["x-shop"], "7");
    assert_eq!(shared["x-literal"], "file:7");
    assert_eq!(shared["x-key"], SECRET);
    let own = &of("/own").headers;
    assert_eq!(own["user-agent"], "own/1");
    assert!(own["x-own"] == "1" && !own.contains_key("x-shop"));

    let ended = until(PATIENCE, "both have ended", async || {
        let found = database.deliveries(event).await;
        let ended = |state: &str| matches!(state, "delivered" | "posting_error");
        let all = found.len() == 2 && found.iter().all(|it| ended(&it.state));
        all.then_some(found)
    })
    .await;
    let kept: String = database
        .value("SELECT string_agg(a::text, '') FROM posthorn.attempts a")
        .await;
    assert!(!kept.contains(SECRET), "{kept}");
    let mut reasons = ended.iter().filter_map(|it| it.reason.as_deref());
    assert!(reasons.all(|reason| !reason.contains(SECRET)));
    assert!(!worker.log().contains(SECRET));
    for command in [
        ["render", "acme/profile's"],
        ["send-test", "acme/profile's"],
    ] {
        let mut arguments = command.to_vec();
        arguments.extend(["--database-url", &database.url]);
        let (_, said) = posthorn(&arguments).await;
        assert!(said.to_lowercase().contains("x-key: ***"), "{said}");
        assert!(said.to_lowercase().contains("x-shop: 7"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[tokio::test]
async fn what_would_break_the_request_is_refused_by_name_and_no_value_is_shown() {
    let check = async |lines: &str| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let text = format!(
            "[[subscription]]\nmerchant = 'acme'\nname = 'hook'\nurl = 'https://shop.example/'\n{lines}\n"
        );
        std::fs::write(&path, text).unwrap();
        let (status, said) = posthorn(&["config", "check", path.to_str().unwrap()]).await;
        assert!(!said.contains("hunter2"), "{said}");
        (status.success(), said)
    };
    for name in [
        "Host",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Content-Type",
        "TE",
        "Upgrade",
        "Expect",
        "Authorization",
        "User-Agent",
        "Accept-Encoding",
        "HMAC-Random-Key",
        "webhook-signature",
        "Keep-Alive",
    ] {
        let (fine, said) = check(&format!("headers = {{ {name} = 'hunter2' }}")).await;
        assert!(
            !fine && said.contains(name) && said.contains("needs for itself"),
            "{name}: {said}"
        );
    }
    for (lines, words) in [
        ("headers = { 'a b' = 'hunter2' }", "not a header's name"),
        (
            "headers = { X-A = 'hunter2', x-a = 'hunter2' }",
            "the same header",
        ),
        (
            "headers = { X-A = \"hunter2\\r\\nX-B: 1\" }",
            "no header can carry",
        ),
        ("headers = { X-A = 'hünter2' }", "no header can carry"),
        ("headers = { X-A = '' }", "no header can carry"),
        ("headers = { X-A = 7 }", "not text"),
        (
            "headers = { X-A = 'secret: hunter2' }",
            "begins like a reference",
        ),
        ("headers = ['hunter2']", "not an object"),
        ("headers = { Webhook-Id = 'hunter2' }", "id_header"),
        (
            "user_agent = \"hunter2\\n\"\nuser_agent_ = 1",
            "not a known key",
        ),
        ("user_agent = \"a\\nhunter2\"", "no header can carry"),
        (
            "signing = 'standard_webhooks'\nsigning_secrets = ['env:K']\nid_header = 'acme-id'\nheaders = { Acme-Signature = 'hunter2' }",
            "signing needs for itself",
        ),
    ] {
        let (fine, said) = check(lines).await;
        assert!(!fine && said.contains(words), "{lines}: {said}");
    }
    let (fine, said) =
        check("headers = { Cookie = 'literal:env:x', X-A = 'b' }\nuser_agent = 'x/1 (y)'").await;
    assert!(fine, "{said}");
}

#[tokio::test]
async fn a_header_travels_under_the_name_that_was_written() {
    let database = Database::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let headers = json!({"X_shop-ID": "7", "SOAPAction": "urn:x", "x-low": "1"});
    database
        .subscribe("acme", "hook", json!({"url": url, "headers": headers}))
        .await;
    let _worker = Worker::start(&database, "").await;
    database.publish("acme", "T-1", "approved", "{}").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n{}") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    for line in ["X_shop-ID: 7", "SOAPAction: urn:x", "x-low: 1"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
}
