//! What is typed wrong is refused where it is typed, with its name, the reason and a remedy,
//! and without a value of it.

use sqlx::postgres::PgDatabaseError;

use crate::support::{Database, Setup, posthorn};

/// What PostgreSQL says of a statement, in all the places where it does.
async fn refused(database: &Database, sql: &str) -> (String, String) {
    let error = database.try_execute(sql).await.unwrap_err();
    let error = error.into_database_error().unwrap();
    let error = error.downcast_ref::<PgDatabaseError>();
    let said = error.message().to_owned();
    let beside = format!(
        "{} {}",
        error.hint().unwrap_or_default(),
        error.detail().unwrap_or_default()
    );
    (said, beside)
}

/// Each was taken, or told as a CHECK with the whole row beside it.
#[tokio::test]
async fn sql_says_which_setting_it_refuses_and_what_to_give() {
    let database = Database::new().await;
    for (columns, values, names, remedy) in [
        ("success_statuses", "'{2xx}'", "success_statuses", "200-299"),
        (
            "success_statuses",
            "'{200,299-200}'",
            "success_statuses",
            "200-299",
        ),
        (
            "success_statuses",
            "'{200-302}'",
            "success_statuses",
            "redirects",
        ),
        (
            "give_up_statuses",
            "'{410,gone}'",
            "give_up_statuses",
            "200-299",
        ),
        ("disable_statuses", "'{600}'", "disable_statuses", "200-299"),
        ("labels", r#"'{"done": "x"}'"#, "labels", "posting_error"),
        (
            "labels",
            r#"'{"delivered": " "}'"#,
            "labels",
            "posting_error",
        ),
        ("retry", "'fixed'", "retry_interval", "30 minutes"),
        ("retry", "'list'", "retry_delays", "1 hour"),
        ("auth", "'basic'", "auth_secret", "env:NAME"),
        ("auth_secret", "'env:A'", "auth", "basic, api_key or oauth2"),
        (
            "auth, auth_secret",
            "'oauth2', 'env:A'",
            "oauth2_token_url",
            "tokens",
        ),
        (
            "signing",
            "'standard_webhooks'",
            "signing_secrets",
            "env:NAME",
        ),
        ("auth", "'digest'", "auth", "none, basic, api_key or oauth2"),
        (
            "auth_secret, auth",
            "'hunter3', 'basic'",
            "auth_secret",
            "env:NAME",
        ),
        ("max_in_flight", "0", "max_in_flight", "1 to 500"),
        (r#""order""#, "'sometimes'", "order", "none, or transaction"),
        (
            "client_cert",
            "'file:/a'",
            "client_cert with client_key",
            "PEM",
        ),
        (
            "method, encoding",
            "'GET', 'json'",
            "method with encoding",
            "query",
        ),
    ] {
        let sql = format!(
            "INSERT INTO posthorn.subscriptions (merchant, name, url, {columns})
             VALUES ('acme', 'orders', 'https://example.com/?token=hunter2', {values})"
        );
        let (said, beside) = refused(&database, &sql).await;
        assert!(
            said.contains(&format!("value of {names}"))
                || said.contains(&format!("needs {names},")),
            "{sql}: {said}"
        );
        assert!(beside.contains(remedy), "{sql}: {beside}");
        assert!(
            !format!("{said}{beside}").contains("hunter"),
            "{said} {beside}"
        );
    }
    // Profiles and locks are held to the same, as far as they say something themselves.
    for sql in [
        "INSERT INTO posthorn.profiles (name, success_statuses) VALUES ('p', '{2xx}')",
        "INSERT INTO posthorn.locks (name, success_statuses) VALUES ('l', '{2xx}')",
    ] {
        let (said, beside) = refused(&database, sql).await;
        assert!(
            said.ends_with("success_statuses") && beside.contains("200-299"),
            "{said}"
        );
    }
}

/// A profile's settings count, and a row is never in the way of being switched off.
#[tokio::test]
async fn what_a_profile_or_a_lock_gives_is_not_asked_for() {
    let database = Database::new().await;
    for sql in [
        "INSERT INTO posthorn.profiles (name, auth, retry, retry_interval) VALUES ('p', 'basic', 'fixed', '1 min')",
        "INSERT INTO posthorn.subscriptions (merchant, name, url, profile, auth_secret)
         VALUES ('acme', 'a', 'https://example.com/', 'p', 'env:A')",
        "INSERT INTO posthorn.locks (name, merchant, retry_delays) VALUES ('l', 'acme', '{1 min}')",
        "INSERT INTO posthorn.subscriptions (merchant, name, url, retry)
         VALUES ('acme', 'b', 'https://example.com/', 'list')",
        // The row lacks a secret now, through no change of its own.
        "UPDATE posthorn.profiles SET signing = 'standard_webhooks' WHERE name = 'p'",
        "UPDATE posthorn.subscriptions SET enabled = false WHERE name = 'a'",
    ] {
        database.execute(sql).await;
    }
    let (said, _) = refused(
        &database,
        "UPDATE posthorn.subscriptions SET rate = 3 WHERE name = 'a'",
    )
    .await;
    assert!(said.contains("needs signing_secrets"), "{said}");
}

/// They were one message, which named none.
#[tokio::test]
async fn each_bad_entry_of_a_list_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let file = path.to_str().unwrap();
    for (line, named) in [
        (
            "success_statuses = ['2xx', '200', '3xx', '4xx']",
            ["\"2xx\"", "\"3xx\"", "\"4xx\""],
        ),
        (
            "give_up_statuses = ['41', '410', '42', '43']",
            ["\"41\"", "\"42\"", "\"43\""],
        ),
        (
            "source_addresses = ['a', '192.0.2.1', 'b', '0.0.0.0']",
            ["\"a\"", "\"b\"", "0.0.0.0 is not"],
        ),
        (
            "signing = 'standard_webhooks'\nsigning_secrets = ['hunter2', 'env:A', 'hunter3', 'hunter4']",
            ["entry 1 is", "entry 3 is", "entry 4 is"],
        ),
    ] {
        let text = format!(
            "[[subscription]]\nmerchant = 'acme'\nname = 'orders'\nurl = 'https://example.com/'\n{line}\n"
        );
        std::fs::write(&path, text).unwrap();
        let (status, said) = posthorn(&["config", "check", file]).await;
        assert!(!status.success());
        for named in named {
            assert_eq!(said.matches(named).count(), 1, "{said}");
        }
        assert!(!said.contains("hunter"), "{said}");
    }
}

/// The driver looked for a host of the user's name, on a port of the password's.
#[tokio::test]
async fn a_password_that_is_not_encoded_is_recognised() {
    const SAID: &str = "%40, %2F, %3F and %23";
    for url in [
        "postgres://posthorn:hunter2/x@127.0.0.1:1/db",
        "postgres://posthorn:12/hunter2@127.0.0.1:1/db",
        "postgres://posthorn:hunter2?x@127.0.0.1:1/db",
        "postgres://posthorn:hunter2#x@127.0.0.1:1/db",
        "postgresql://posthorn:12#hunter2@127.0.0.1/db",
    ] {
        let (status, said) = posthorn(&["status", "--database-url", url]).await;
        assert!(!status.success() && said.contains(SAID), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let (status, said) = Setup::with_url(url).refused().await;
        assert!(!status.success() && said.contains(SAID), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // An @ alone does no harm, nor does one in a parameter.
    for url in [
        "postgres://posthorn:hunter2@x@127.0.0.1:1/db",
        "postgres://127.0.0.1:1/db?application_name=a@b",
    ] {
        let (status, said) = posthorn(&["status", "--database-url", url]).await;
        assert!(
            !status.success() && said.contains("check that PostgreSQL runs"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// "at line 1234" was a line of PostgreSQL's own source.
#[tokio::test]
async fn an_error_of_the_database_is_told_in_its_words_alone() {
    let database = Database::empty().await;
    let url = database.url_of("nobody_here");
    let (status, said) = posthorn(&["status", "--database-url", &url]).await;
    assert!(
        !status.success() && said.contains("does not exist"),
        "{said}"
    );
    assert!(!said.contains("at line"), "{said}");
}
