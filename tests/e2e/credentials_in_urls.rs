//! A URL is no place for a user name and a password.

use serde_json::json;

use crate::support::{Database, Setup, posthorn, receiver};

const PASSWORD: &str = "url-canary-3e7a";

#[tokio::test]
async fn a_url_with_credentials_is_refused_in_sql_as_in_a_file() {
    let database = Database::new().await;
    let url = format!("https://acme:{PASSWORD}@shop.example/hook");
    for column in ["url", "oauth2_token_url"] {
        for (table, keys, values) in [
            ("subscriptions", "merchant, name", "'acme', 'orders'"),
            ("profiles", "name", "'own'"),
            ("locks", "name", "'all'"),
        ] {
            let insert = |url: &str| {
                format!(
                    "INSERT INTO posthorn.{table} ({keys}, {column}) VALUES ({values}, '{url}')"
                )
            };
            for url in [
                &url,
                "https://acme@shop.example",
                "HTTP://:@shop.example/?a@b",
            ] {
                let refused = database.try_execute(&insert(url)).await.unwrap_err();
                let said = refused.to_string();
                let expected = format!("{column}_has_no_user_name_or_password");
                assert!(said.contains(&expected), "{said}");
            }
            // Behind the host it is no credential.
            let other = "https://shop.example/a@b?c=//d@e";
            database.execute(&insert(other)).await;
            database
                .execute(&format!("DELETE FROM posthorn.locks; UPDATE posthorn.{table} SET name = gen_random_uuid()::text WHERE {column} = '{other}'"))
                .await;
        }
    }
}

#[tokio::test]
async fn a_url_with_credentials_that_is_there_shows_none() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let id = database
        .subscribe("acme", "orders", json!({"url": receiver.url("/")}))
        .await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "T-1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    // As somebody could bring it who switches off what stands against it.
    database
        .execute(&format!(
            "ALTER TABLE posthorn.subscriptions DROP CONSTRAINT url_has_no_user_name_or_password;
             ALTER TABLE posthorn.subscriptions DISABLE TRIGGER refuse_subscriptions_changed;
             ALTER TABLE posthorn.config_history DISABLE TRIGGER append_only;
             UPDATE posthorn.subscriptions SET url = 'https://acme:{PASSWORD}@shop.example/' WHERE id = '{id}';
             UPDATE posthorn.config_history SET settings = jsonb_set(settings, '{{url}}', '\"https://acme:{PASSWORD}@shop.example/\"')
              WHERE kind = 'subscription'"
        ))
        .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("posthorn.toml");
    let declared =
        "[[subscription]]\nmerchant = 'acme'\nname = 'orders'\nurl = 'https://shop.example/'\n";
    std::fs::write(&file, declared).unwrap();
    let (file, event) = (file.display().to_string(), event.to_string());
    let url = ["--database-url", &database.url];
    for call in [
        &["config", "show", "acme/orders"][..],
        &["config", "export"],
        &["config", "plan", &file, "--take-over"],
        &["evidence", &event],
    ] {
        let (status, said) = posthorn(&[call, &url].concat()).await;
        assert!(status.success(), "{said}");
        assert!(said.contains("https://***@shop.example/"), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
    let (_, said) = posthorn(&[&["render", "acme/orders"][..], &url].concat()).await;
    assert!(said.contains("user name or password"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}
