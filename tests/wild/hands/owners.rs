//! Files side by side, and what a file no longer has.

use posthorn::receiver::Receiver;
use tokio::net::TcpListener;

use crate::support::{ConfigFile, Database, PATIENCE, Setup, Worker, posthorn, receiver, until};

/// A file of the owner, if it has one, with subscriptions `MERCHANT/NAME`.
fn file(owner: &str, subscriptions: &[&str]) -> String {
    let owner = match owner {
        "" => String::new(),
        name => format!("owner = '{name}'\n"),
    };
    let sections = subscriptions.iter().map(|subscription| {
        let (merchant, name) = subscription.split_once('/').unwrap();
        format!(
            "[[subscription]]\nmerchant = '{merchant}'\nname = '{name}'\nurl = 'https://{merchant}.example/{name}'\n"
        )
    });
    owner + &sections.collect::<String>()
}

async fn enabled(database: &Database) -> String {
    database
        .value(
            "SELECT coalesce(string_agg(merchant || '/' || name, ' ' ORDER BY merchant, name), '')
               FROM posthorn.subscriptions WHERE enabled",
        )
        .await
}

async fn owner_of(database: &Database, merchant: &str) -> String {
    let sql =
        format!("SELECT managed_by FROM posthorn.subscriptions WHERE merchant = '{merchant}'");
    database.value(&sql).await
}

#[tokio::test]
async fn a_file_leaves_what_another_owner_s_file_has() {
    let database = Database::new().await;
    let posthorn = ConfigFile::new(&database);
    posthorn
        .apply(&file("orders", &["acme/a", "acme/b", "globex/a"]), &[])
        .await;
    posthorn.apply(&file("refunds", &["acme/r"]), &[]).await;
    let all = "acme/a acme/b acme/r globex/a";
    assert_eq!(enabled(&database).await, all);

    // A worker's own file is a third one, at its start and at SIGHUP.
    let worker = Worker::start(&database, &file("", &["initech/i"])).await;
    assert_eq!(enabled(&database).await, format!("{all} initech/i"));
    worker.rewrite(&file("", &["initech/j"]));
    worker.sighup();
    worker.logs("subscriptions and profiles reloaded").await;
    assert_eq!(
        enabled(&database).await,
        format!("{all} initech/i initech/j")
    );

    // What its own file no longer has is disabled, and only that.
    let said = posthorn.apply(&file("orders", &["acme/a"]), &[]).await;
    assert!(said.contains("2 disabled"), "{said}");
    assert_eq!(
        enabled(&database).await,
        "acme/a acme/r initech/i initech/j"
    );
}

/// As in the README: one file is applied, and a worker has another.
#[tokio::test]
async fn two_files_without_an_owner_disable_nothing_of_each_other() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = receiver.url("/hook");
    let first = format!("[[subscription]]\nmerchant = 'acme'\nname = 'orders'\nurl = '{url}'\n");
    ConfigFile::new(&database)
        .apply(&(first + "[egress]\nallow = ['127.0.0.0/8']\n"), &[])
        .await;
    let worker = Worker::start(&database, &file("", &["globex/credit"])).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    let log = worker.log();
    let said = log
        .lines()
        .find(|line| line.contains("acme/orders"))
        .unwrap();
    assert!(said.contains("WARN") && said.contains("owner ="), "{log}");
}

#[tokio::test]
async fn what_a_file_no_longer_has_is_said_by_name_and_needs_a_yes_where_it_is_much() {
    let database = Database::new().await;
    let posthorn = ConfigFile::new(&database);
    let all = ["acme/a", "acme/b", "acme/c", "acme/d", "acme/e", "acme/f"];
    let worker = Worker::start(&database, &file("orders", &all)).await;

    // A few are disabled, and named.
    worker.rewrite(&file("orders", &all[..4]));
    worker.sighup();
    worker.logs("acme/f").await;
    let log = worker.log();
    let said = log.lines().find(|line| line.contains("acme/f")).unwrap();
    for part in ["WARN", "acme/e", "2", "posthorn replay"] {
        assert!(said.contains(part), "{part} not in {said}");
    }
    assert_eq!(enabled(&database).await, "acme/a acme/b acme/c acme/d");

    // More are not, wherever it is asked for: at SIGHUP …
    let nearly_empty = file("orders", &["globex/only"]);
    let refusal = |said: &str| {
        for part in ["4 ", "acme/a", "acme/d", "posthorn config apply --yes"] {
            assert!(said.contains(part), "{part} not in {said}");
        }
    };
    worker.rewrite(&nearly_empty);
    worker.sighup();
    worker.logs("not reloaded").await;
    refusal(&worker.log());
    // … by the command …
    refusal(&posthorn.refuses(&nearly_empty, &[]).await);
    let (status, planned) = posthorn.run(&nearly_empty, "plan", &[]).await;
    assert!(status.success(), "{planned}");
    assert!(
        planned.contains("4 to disable") && planned.contains("--yes"),
        "{planned}"
    );
    // … and at a worker's start.
    let (status, log) = Setup::new(&database).toml(&nearly_empty).refused().await;
    assert_eq!(status.code(), Some(1), "{log}");
    refusal(&log);
    assert_eq!(enabled(&database).await, "acme/a acme/b acme/c acme/d");

    let said = posthorn.apply(&nearly_empty, &["--yes"]).await;
    assert!(said.contains("4 disabled"), "{said}");
    assert_eq!(enabled(&database).await, "globex/only");
    let _worker = Worker::start(&database, &nearly_empty).await;
}

#[tokio::test]
async fn locks_that_a_file_no_longer_has_count_as_well() {
    let database = Database::new().await;
    let posthorn = ConfigFile::new(&database);
    let locks =
        ["a", "b", "c", "d"].map(|name| format!("[[lock]]\nname = '{name}'\ntimeout = '1s'\n"));
    let without = file("orders", &["acme/a"]);
    posthorn
        .apply(&(without.clone() + &locks.concat()), &[])
        .await;
    let said = posthorn.refuses(&without, &[]).await;
    assert!(said.contains("lock a, lock b, lock c, lock d"), "{said}");
    let said = posthorn.apply(&without, &["--yes"]).await;
    assert!(said.contains("4 removed"), "{said}");
}

/// A second worker on the same machine, by mistake: it dies of the address, and had disabled
/// the first one's subscriptions before.
#[tokio::test]
async fn a_process_that_cannot_run_changes_nothing() {
    let database = Database::new().await;
    let posthorn = ConfigFile::new(&database);
    posthorn
        .apply(&file("orders", &["acme/a", "acme/b"]), &[])
        .await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let listens = |section: &str| format!("{section}.listen = '{}'", taken.1);
    let changed = file("orders", &["acme/b", "acme/c"]);
    for (section, switch) in [("http", None), ("gateway", Some("--gateway"))] {
        let mut setup = Setup::new(&database).toml(&changed).toml(&listens(section));
        if let Some(switch) = switch {
            setup = setup.switch(switch);
        }
        let (status, log) = setup.refused().await;
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("cannot listen on"), "{log}");
        assert_eq!(enabled(&database).await, "acme/a acme/b", "{section}");
    }
    // Nor one that lacks a key of the secrets.
    let key = "secrets.keys = ['env:POSTHORN_TEST_NO_KEY']";
    let (status, log) = Setup::new(&database)
        .toml(&changed)
        .toml(key)
        .refused()
        .await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert_eq!(enabled(&database).await, "acme/a acme/b");
}

#[tokio::test]
async fn an_owner_can_be_given_and_renamed() {
    let database = Database::new().await;
    let posthorn = ConfigFile::new(&database);
    // A file that had none gets one: what it names becomes its own.
    posthorn.apply(&file("", &["acme/a"]), &[]).await;
    assert_eq!(owner_of(&database, "acme").await, "file");
    posthorn.apply(&file("orders", &["acme/a"]), &[]).await;
    assert_eq!(owner_of(&database, "acme").await, "file:orders");

    // Under another name the rows are another file's, until it is said that they are not.
    for renamed in [file("payments", &["acme/a"]), file("", &["acme/a"])] {
        let said = posthorn.refuses(&renamed, &[]).await;
        assert!(
            said.contains("orders") && said.contains("--take-over"),
            "{said}"
        );
    }
    posthorn
        .apply(&file("payments", &["acme/a"]), &["--take-over"])
        .await;
    assert_eq!(owner_of(&database, "acme").await, "file:payments");
    let (status, exported) = crate::support::posthorn(&[
        "config",
        "export",
        "--managed-by",
        "file:payments",
        "--database-url",
        &database.url,
    ])
    .await;
    assert!(status.success(), "{exported}");
    assert!(exported.starts_with("owner = \"payments\"\n"), "{exported}");
    let said = posthorn.apply(&exported, &[]).await;
    assert!(said.starts_with("nothing to change"), "{said}");
    // People are told whose row it is.
    let pause = database
        .try_execute("UPDATE posthorn.subscriptions SET paused = true")
        .await;
    let refused = pause.unwrap_err().to_string();
    assert!(refused.contains("the config file of payments"), "{refused}");

    for wrong in ["''", "'two words'", "7", "'a:b'"] {
        let toml = format!("owner = {wrong}\n{}", file("", &["acme/a"]));
        let said = posthorn.refuses(&toml, &[]).await;
        assert!(said.contains("line 1, owner: "), "{said}");
    }
}

#[tokio::test]
async fn what_a_subscription_missed_while_no_file_had_it_is_found_and_sent() {
    let database = Database::new().await;
    let receiver: Receiver = receiver().await;
    let url = receiver.url("/hook");
    let with = format!(
        "owner = 'orders'\n[egress]\nallow = ['127.0.0.0/8']\n[[subscription]]\nmerchant = 'acme'\nname = 'hook'\nurl = '{url}'\n\
         [[subscription]]\nmerchant = 'acme'\nname = 'other'\nurl = '{url}'\nkinds = []\n"
    );
    let without = file("orders", &["globex/x"]);
    let worker = Worker::start(&database, &with).await;
    worker.rewrite(&without);
    worker.sighup();
    worker.logs("acme/hook").await;
    for number in 0..3 {
        database
            .publish("acme", &format!("t{number}"), "approved", "{}")
            .await;
    }
    let replay = async |more: &[&str]| {
        let mut arguments = vec![
            "replay",
            "--merchant",
            "acme",
            "--state",
            "missing",
            "--since",
            "1h",
        ];
        arguments.extend(["--database-url", &database.url]);
        arguments.extend(more);
        let (status, said) = posthorn(&arguments).await;
        assert!(status.success(), "{said}");
        said
    };
    // It is seen which subscription misses them, before it is put back and after.
    let seen = replay(&["--preview"]).await;
    let row = seen.lines().find(|line| line.contains("hook")).unwrap();
    assert!(row.contains('3') && row.contains("disabled"), "{seen}");
    assert!(!seen.contains("other"), "{seen}");
    worker.rewrite(&with);
    worker.sighup();
    until(PATIENCE, "the subscription back", async || {
        enabled(&database).await.contains("acme/hook").then_some(())
    })
    .await;
    let seen = replay(&["--preview"]).await;
    assert!(seen.contains("3 deliveries would be made"), "{seen}");
    replay(&[]).await;
    database.count_reaches("delivered", 3).await;
    assert_eq!(receiver.endpoint("/hook").received(), 3);
}
