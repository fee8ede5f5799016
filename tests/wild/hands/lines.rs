//! Names with line feeds in them, and outputs that people and programs read line by line.

use serde_json::json;

use crate::support::{Database, Worker, posthorn};

/// A merchant that looks like a clean audit of another one, and worse.
const MERCHANT: &str = "acme\nall        9 9 0 0\u{1b}[2J\u{2028}x";

async fn says(database: &Database, words: &[&str]) -> String {
    let mut arguments = words.to_vec();
    arguments.extend(["--database-url", &database.url]);
    posthorn(&arguments).await.1
}

/// No line begins with what follows the line feed in a name, and no escape reaches a terminal.
fn forges_nothing(what: &str, said: &str) {
    for line in said.split(['\n', '\u{2028}']) {
        let starts = ["all        9", "x", "ERROR", "+ forged", "forged"];
        assert!(
            !starts.iter().any(|start| line.starts_with(start)),
            "{what}:\n{said}"
        );
    }
    assert!(!said.contains('\u{1b}'), "{what}:\n{said:?}");
}

#[tokio::test]
async fn a_merchant_s_name_forges_no_line_of_any_command() {
    let database = Database::new().await;
    let settings = json!({
        "url": "https://a.example/hook?a%0Aforged=1", "success_body": "ok\nforged", "paused": true,
        "labels": {"pending": "p\nforged"},
    });
    database
        .subscribe(MERCHANT, "orders\nforged", settings)
        .await;
    database
        .execute("INSERT INTO posthorn.locks (name, timeout) VALUES (E'cap\\nforged', '1 s')")
        .await;
    database
        .publish(MERCHANT, "t\nforged", "approved", "{}")
        .await;
    let name = format!("{MERCHANT}/orders\nforged");
    for words in [
        &["audit", "--since", "1h"][..],
        &["status"],
        &["status", "--merchant", MERCHANT],
        &["deliveries", "--merchant", MERCHANT],
        &[
            "replay",
            "--merchant",
            MERCHANT,
            "--state",
            "missing",
            "--preview",
        ],
        &["config", "show", &name],
        &["config", "show", &format!("{MERCHANT}/nix")],
        &[
            "replay",
            "--merchant",
            MERCHANT,
            "--subscription",
            "nix",
            "--preview",
        ],
        &["evidence", "00000000-0000-0000-0000-000000000000"],
    ] {
        forges_nothing(&words.join(" "), &says(&database, words).await);
    }
    // What a file would do with it: the whole is in SQL's hands, and then in the file's.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.toml");
    std::fs::write(&path, says(&database, &["config", "export"]).await).unwrap();
    let path = path.to_str().unwrap();
    forges_nothing(
        "conflict",
        &says(&database, &["config", "plan", path]).await,
    );
    database
        .execute("UPDATE posthorn.subscriptions SET managed_by = 'file'")
        .await;
    std::fs::write(path, "[[profile]]\nname = 'p'\n").unwrap();
    let said = says(&database, &["config", "plan", path]).await;
    assert!(said.contains("left alone"), "{said}");
    forges_nothing("plan", &said);
}

#[tokio::test]
async fn nor_of_the_log() {
    let database = Database::new().await;
    let settings =
        json!({"url": "https://a.example/", "auth": "basic", "auth_secret": "env:NOT_THERE"});
    database
        .subscribe("acme\nERROR posthorn: forged", "orders", settings)
        .await;
    let worker = Worker::start(&database, "").await;
    worker.logs("NOT_THERE").await;
    forges_nothing("log", &worker.log());
}
