//! `posthorn config`: checked, planned, applied, exported and explained.

use serde_json::json;

use crate::support::{ConfigFile, Database, posthorn};

async fn show(database: &Database, subscription: &str) -> String {
    let arguments = [
        "config",
        "show",
        subscription,
        "--database-url",
        &database.url,
    ];
    let (status, said) = posthorn(&arguments).await;
    assert!(status.success(), "{said}");
    said
}

/// The value and the origin of a key that `show` prints.
fn line(shown: &str, key: &str) -> String {
    let found = shown.lines().find_map(|line| line.trim().strip_prefix(key));
    let words: Vec<_> = found.unwrap().split_whitespace().collect();
    words.join(" ")
}

const FILE: &str = r#"
owner = "shop"

[[profile]]
name = "slow"
timeout = "30s"
retry = "list"
retry_delays = ["1m", "5m"]
encoding = "xml"

[[lock]]
name = "cap"
profile = "slow"
max_in_flight = 3

[[subscription]]
merchant = "acme"
name = "orders"
profile = "slow"
url = "https://acme.example/hook?token=abc"
encoding = "nvp"
max_in_flight = 50
"#;

#[tokio::test]
async fn a_plan_is_words_and_applying_it_leaves_nothing_to_change() {
    let database = Database::new().await;
    let file = ConfigFile::new(&database);
    let counts = file.says(FILE, "check", &[]).await;
    assert!(
        counts.contains("no problem; 1 profile, 1 lock, 1 subscription"),
        "{counts}"
    );

    let planned = file.says(FILE, "plan", &[]).await;
    assert!(planned.contains("+ profile slow\n"), "{planned}");
    assert!(
        planned.contains("url = \"https://acme.example/hook?token=…\""),
        "{planned}"
    );
    assert!(planned.ends_with("3 to add\n"), "{planned}");
    let rows = "SELECT count(*) FROM posthorn.subscriptions";
    assert_eq!(
        database.value::<i64>(rows).await,
        0,
        "a plan writes nothing"
    );

    assert!(file.says(FILE, "apply", &[]).await.ends_with("3 added\n"));
    assert!(
        file.says(FILE, "plan", &[])
            .await
            .starts_with("nothing to change")
    );

    let changed = FILE
        .replace("30s", "20s")
        .replace("orders", "refunds")
        .replace("[[lock]]", "[[profile]]")
        .replace("profile = \"slow\"\nmax", "max");
    let planned = file.says(&changed, "plan", &[]).await;
    for part in [
        "~ profile slow\n    timeout: \"30s\" → \"20s\"\n",
        "+ profile cap\n",
        "+ subscription acme/refunds\n",
        "- subscription acme/orders: disabled",
        "- lock cap: removed",
        "2 to add, 1 to change, 1 to disable, 1 to remove",
    ] {
        assert!(planned.contains(part), "{part} not in\n{planned}");
    }
    file.says(&changed, "apply", &[]).await;
    let states: String = database
        .value("SELECT string_agg(name || ' ' || enabled, ', ' ORDER BY name) FROM posthorn.subscriptions")
        .await;
    assert_eq!(states, "orders false, refunds true");
}

#[tokio::test]
async fn show_says_whose_word_each_setting_is() {
    let database = Database::new().await;
    ConfigFile::new(&database).says(FILE, "apply", &[]).await;
    let shown = show(&database, "acme/orders").await;
    assert!(
        shown.starts_with("acme/orders, managed by file:shop\n"),
        "{shown}"
    );
    for (key, expected) in [
        ("max_in_flight", "3 lock cap"),
        ("encoding", "\"nvp\" subscription"),
        ("timeout", "\"30s\" profile slow"),
        ("method", "\"POST\" engine default"),
        ("retry_cap", "\"1h\" engine default"),
        ("kinds", "all engine default"),
    ] {
        assert_eq!(line(&shown, key), expected, "{shown}");
    }
    assert!(!shown.contains("token=abc"), "{shown}");

    let (status, said) = posthorn(&[
        "config",
        "show",
        "acme/orderz",
        "--database-url",
        &database.url,
    ])
    .await;
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("acme has no subscription \"orderz\"; it has orders"),
        "{said}"
    );
}

#[tokio::test]
async fn a_lock_takes_effect_and_gives_way_when_it_is_deleted() {
    let database = Database::new().await;
    let settings = json!({"url": "https://acme.example/", "timeout": "30 seconds"});
    database.subscribe("acme", "hook", settings).await;
    database
        .execute(
            "INSERT INTO posthorn.locks (name, merchant, timeout) VALUES ('all', NULL, '9 s'), ('acme', 'acme', '8 s'),
                    ('another', 'another', '7 s')",
        )
        .await;
    assert_eq!(
        line(&show(&database, "acme/hook").await, "timeout"),
        "\"8s\" lock acme"
    );
    database
        .execute("DELETE FROM posthorn.locks WHERE name = 'acme'")
        .await;
    assert_eq!(
        line(&show(&database, "acme/hook").await, "timeout"),
        "\"9s\" lock all"
    );
    database.execute("DELETE FROM posthorn.locks").await;
    assert_eq!(
        line(&show(&database, "acme/hook").await, "timeout"),
        "\"30s\" subscription"
    );
}

#[tokio::test]
async fn what_the_database_does_not_change_is_not_said_to_be_changed() {
    let database = Database::new().await;
    let file = ConfigFile::new(&database);
    file.apply(FILE, &[]).await;
    let swallow = |table: &str, change: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION posthorn.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER swallow BEFORE {change} ON posthorn.{table} FOR EACH ROW EXECUTE FUNCTION posthorn.swallow()"
        )
    };
    let (head, _) = FILE.split_once("[[subscription]]").unwrap();
    let without_subscription = head.to_owned();
    let without_lock = FILE.replace(
        "[[lock]]\nname = \"cap\"\nprofile = \"slow\"\nmax_in_flight = 3\n",
        "",
    );
    for (table, change, changed) in [
        ("subscriptions", "UPDATE", without_subscription),
        ("locks", "DELETE", without_lock),
    ] {
        database.execute(&swallow(table, change)).await;
        let said = file.refuses(&changed, &[]).await;
        let expected = format!("of 1 {table} that were to change, the database changed 0");
        assert!(said.contains(&expected), "{said}");
        database
            .execute(&format!("DROP TRIGGER swallow ON posthorn.{table}"))
            .await;
        let planned = file.says(FILE, "plan", &[]).await;
        assert!(planned.starts_with("nothing to change"), "{planned}");
    }
}

#[tokio::test]
async fn neither_side_overwrites_the_other_in_silence() {
    let database = Database::new().await;
    let file = ConfigFile::new(&database);
    let by_hand = json!({"url": "https://by-hand.example/", "paused": true});
    database.subscribe("acme", "orders", by_hand).await;

    // The file does not take what people manage …
    let (status, said) = file.run(FILE, "apply", &[]).await;
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("subscription acme/orders stands in the config file and, managed by SQL"),
        "{said}"
    );
    assert!(said.contains("--take-over"), "{said}");
    let profiles = "SELECT count(*) FROM posthorn.profiles WHERE name = 'slow'";
    assert_eq!(database.value::<i64>(profiles).await, 0, "all or nothing");
    let planned = file.says(FILE, "plan", &["--take-over"]).await;
    assert!(planned.contains("paused: true → false"), "{planned}");
    file.says(FILE, "apply", &["--take-over"]).await;

    // … and people do not change what the file manages, unless they take it.
    let pause = "UPDATE posthorn.subscriptions SET paused = true";
    let refused = database.try_execute(pause).await.unwrap_err().to_string();
    assert!(
        refused.contains("managed by the config file of shop"),
        "{refused}"
    );
    for (table, row) in [("profiles", "slow"), ("locks", "cap")] {
        for sql in [
            format!("DELETE FROM posthorn.{table} WHERE name = '{row}'"),
            format!("UPDATE posthorn.{table} SET timeout = '1 s' WHERE name = '{row}'"),
        ] {
            assert!(database.try_execute(&sql).await.is_err(), "{sql}");
        }
    }
    database
        .execute(&format!("{pause}, managed_by = 'sql'"))
        .await;
    let (status, said) = file.run(FILE, "apply", &[]).await;
    assert_eq!(status.code(), Some(1), "{said}");
}

#[tokio::test]
async fn an_export_is_a_file_that_changes_nothing() {
    let database = Database::new().await;
    let file = ConfigFile::new(&database);
    file.says(&FILE.replace("owner = \"shop\"", ""), "apply", &[])
        .await;
    let settings = json!({
        "url": "https://h.example/?a=1", "retry": "fixed", "retry_interval": "1 day 2 hours 3.5 seconds",
        "kinds": ["payment.*"], "rate": 0.5, "supersede": true, "order": "transaction",
        "fields": [{"name": "it's \"quoted\"", "source": "literal:a\nb", "map": {"x": "1"}}],
        "labels": {"posting_error": "posting error"},
    });
    database.subscribe("o'neil", "by hand", settings).await;
    let export = async |more: &[&str]| {
        let mut arguments = vec!["config", "export", "--database-url", &database.url];
        arguments.extend(more);
        let (status, said) = posthorn(&arguments).await;
        assert!(status.success(), "{said}");
        said
    };
    let exported = export(&[]).await;
    assert!(
        exported.contains("token=abc"),
        "a file needs the URL whole: {exported}"
    );
    let planned = file.says(&exported, "plan", &["--take-over"]).await;
    let kept =
        "~ subscription o'neil/by hand: becomes the file's; its settings stay\n1 to change\n";
    assert_eq!(planned, kept);
    assert!(!export(&["--managed-by", "file"]).await.contains("by hand"));
    assert!(!export(&["--managed-by", "sql"]).await.contains("acme"));
}

#[tokio::test]
async fn a_file_without_sections_changes_nothing_and_a_wrong_one_is_refused() {
    let database = Database::new().await;
    let file = ConfigFile::new(&database);
    file.says(FILE, "apply", &[]).await;
    let said = file.says("[log]\nlevel = 'info'\n", "apply", &[]).await;
    assert!(said.contains("so it changes nothing"), "{said}");
    let enabled = "SELECT enabled FROM posthorn.subscriptions";
    assert!(database.value::<bool>(enabled).await);

    for command in ["check", "plan", "apply"] {
        let (status, said) = file
            .run(
                "[[lock]]\nname = 'a'\ntimeout = '1h'\nprofile = 'nix'\n",
                command,
                &[],
            )
            .await;
        assert_eq!(status.code(), Some(1));
        assert!(
            said.contains("line 3, lock.timeout: 1h is more than 10m"),
            "{said}"
        );
        assert!(
            said.contains("line 4, lock.profile: no [[profile]] is named \"nix\""),
            "{said}"
        );
    }
    let nowhere = [
        "config",
        "plan",
        file.path().to_str().unwrap(),
        "--database-url",
        "postgres://u@127.0.0.1:1/x",
    ]
    .map(str::to_owned);
    std::fs::write(file.path(), FILE).unwrap();
    let (status, said) = posthorn(&nowhere.each_ref().map(String::as_str)).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("check that PostgreSQL runs"), "{said}");
}

#[tokio::test]
async fn instameds_options_are_taken_as_they_stand_and_can_be_imported() {
    let database = Database::new().await;
    let file = ConfigFile::new(&database);
    let options = "MerchantPaymentTransactionNotificationWebhookURL: https://acme.example/im\n\n\
                   MerchantPaymentTransactionNotificationSendPaymentNotifications: true\n\
                   MerchantPaymentTransactionNotificationSendPaymentPlanNotifications = false\n\
                   MerchantPaymentNotificationInterface: XML\n";
    let path = file.path().with_file_name("options.txt");
    let import = async |options: &str| {
        std::fs::write(&path, options).unwrap();
        posthorn(&[
            "config",
            "import",
            path.to_str().unwrap(),
            "--merchant",
            "acme",
        ])
        .await
    };
    let (status, section) = import(options).await;
    assert!(status.success(), "{section}");
    assert!(section.contains("kinds = [\"payment.*\"]\n"), "{section}");

    // The same in the file itself, and with the profile that they imply.
    let as_they_stand = "[[subscription]]\nmerchant = 'acme'\nname = 'webhook'\n\
        MerchantPaymentTransactionNotificationWebhookURL = 'https://acme.example/im'\n\
        MerchantPaymentTransactionNotificationSendPaymentNotifications = true\n\
        MerchantPaymentNotificationInterface = 'XML'\n";
    file.says(&section, "apply", &[]).await;
    assert!(
        file.says(as_they_stand, "plan", &[])
            .await
            .starts_with("nothing to change")
    );
    let shown = show(&database, "acme/webhook").await;
    for (key, expected) in [
        ("encoding", "\"xml\" subscription"),
        ("success_statuses", "[\"200\"] profile instamed"),
        ("max_attempts", "5 profile instamed"),
    ] {
        assert_eq!(line(&shown, key), expected, "{shown}");
    }

    for (options, told) in [
        (
            "\n\nMerchantPaymentNotificationInterface: SOAP",
            "line 3, subscription.MerchantPaymentNotificationInterface: text that is not a choice",
        ),
        (
            "MerchantPaymentNotificationInterfaces: XML",
            "did you mean MerchantPaymentNotificationInterface?",
        ),
        ("nonsense", "line 1: not an option"),
    ] {
        let (status, said) = import(options).await;
        assert_eq!(status.code(), Some(1));
        assert!(said.contains(told), "{said}");
    }
    let both = as_they_stand.to_owned() + "url = 'https://other.example/'\n";
    let (_, said) = file.run(&both, "check", &[]).await;
    assert!(said.contains("given beside url"), "{said}");
}
