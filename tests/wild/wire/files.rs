//! Files from other hands, and one file for worker and gateway.

use std::net::TcpListener;

use serde_json::json;

use crate::support::{Database, Setup, posthorn};

/// `text` as editors of Windows save it.
fn marked(text: &str) -> [Vec<u8>; 4] {
    let units = || text.encode_utf16();
    let little = [0xFF, 0xFE]
        .into_iter()
        .chain(units().flat_map(u16::to_le_bytes));
    let big = [0xFE, 0xFF]
        .into_iter()
        .chain(units().flat_map(u16::to_be_bytes));
    [
        text.as_bytes().to_vec(),
        format!("\u{feff}{text}").into_bytes(),
        little.collect(),
        big.collect(),
    ]
}

#[tokio::test]
async fn a_file_with_a_byte_order_mark_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = "MerchantPaymentTransactionNotificationWebhookURL: https://shop.example/hook\r\n\
                   MerchantPaymentTransactionNotificationSendPaymentNotifications: true\r\n";
    let mut told = Vec::new();
    for bytes in marked(options) {
        std::fs::write(&path, bytes).unwrap();
        let (status, said) = posthorn(&[
            "config",
            "import",
            "--merchant",
            "acme",
            path.to_str().unwrap(),
        ])
        .await;
        assert!(status.success(), "{said}");
        assert!(said.contains("https://shop.example/hook"), "{said}");
        told.push(said);
    }
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");

    for bytes in marked("[log]\r\nlevel = 'info'\r\n") {
        std::fs::write(&path, bytes).unwrap();
        let (status, said) = posthorn(&["config", "check", path.to_str().unwrap()]).await;
        assert!(status.success(), "{said}");
    }
    std::fs::write(&path, b"\xFF\xFEa").unwrap();
    let (status, said) = posthorn(&["config", "check", path.to_str().unwrap()]).await;
    assert!(
        !status.success() && said.contains("save it as UTF-8"),
        "{said}"
    );
}

#[tokio::test]
async fn instameds_options_with_a_profile_of_ones_own_mean_what_their_page_says() {
    const URL: &str = "MerchantPaymentTransactionNotificationWebhookURL = 'https://shop.example/'";
    const ON: &str = "MerchantPaymentTransactionNotificationSendPaymentNotifications = true";
    let plan = async |profile: &str, lines: &str| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let text = format!(
            "[[profile]]\nname = 'own'\ntimeout = '30s'\n{profile}\n[[subscription]]\nmerchant = 'acme'\n\
             name = 'hook'\nprofile = 'own'\n{lines}\n"
        );
        std::fs::write(&path, text).unwrap();
        let database = Database::new().await;
        let (status, said) = posthorn(&[
            "config",
            "apply",
            path.to_str().unwrap(),
            "--database-url",
            &database.url,
        ])
        .await;
        assert!(status.success(), "{said}");
        let (_, said) = posthorn(&[
            "config",
            "show",
            "acme/hook",
            "--database-url",
            &database.url,
        ])
        .await;
        let value = |key: &str| {
            let line = said
                .lines()
                .find(|line| line.trim_start().starts_with(&format!("{key} ")));
            line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
        };
        [value("encoding"), value("kinds"), value("timeout")]
    };
    assert_eq!(plan("", URL).await, ["\"nvp\"", "[]", "\"30s\""]);
    assert_eq!(
        plan("", &format!("{URL}\n{ON}")).await[1],
        "[\"payment.*\"]"
    );
    assert_eq!(
        plan("encoding = 'xml'\nkinds = ['refund.*']", URL).await[..2],
        ["\"xml\"", "[\"refund.*\"]"]
    );
    assert_eq!(plan("method = 'GET'", URL).await[0], "\"query\"");
}

#[tokio::test]
async fn a_worker_and_a_gateway_start_with_the_same_file() {
    let database = Database::new().await;
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    // All at once, so that they differ.
    let listeners = [free(), free(), free()];
    let [worker, gateway, health] = listeners.each_ref().map(|it| it.local_addr().unwrap());
    drop(listeners);
    let file = format!(
        "http.listen = '{worker}'\n[gateway]\nlisten = '{gateway}'\nhealth_listen = '{health}'"
    );
    let worker_runs = Setup::new(&database).toml(&file).start().await;
    let gateway_runs = Setup::gateway(&database).toml(&file).start().await;
    assert_eq!(worker_runs.address(), worker);
    assert_eq!(gateway_runs.address(), health);
    assert_eq!(gateway_runs.gateway(), format!("http://{gateway}"));

    // By default too they are not the same.
    let example: toml::Table = include_str!("../../../config.toml.example")
        .parse()
        .unwrap();
    assert_ne!(
        example["http"]["listen"],
        example["gateway"]["health_listen"]
    );
    assert_eq!(
        example.get("subscription"),
        None,
        "a copy of the example sends nothing"
    );
    assert_eq!(json!(example["gateway"]["health_listen"]), "127.0.0.1:9465");
}
