//! What no trigger saw is found by comparing the table with the events.

mod rights;

use std::time::Duration;

use crate::support::shop::Shop;
use crate::support::{Database, PATIENCE, Worker, posthorn, until};

const PAYMENTS: &str = "CREATE TABLE shop.payments (
    id bigint PRIMARY KEY, merchant_id text, status text, amount numeric DEFAULT 1, note text,
    created_at timestamptz DEFAULT now())";

/// A shop, and a role that has nothing, with which its tables are compared.
struct Compared {
    shop: Shop,
    role: String,
}

impl Compared {
    async fn with(tables: &str) -> Self {
        let shop = Shop::with(tables).await;
        let role = shop.database.login("compare").await;
        Self { shop, role }
    }

    async fn new() -> Self {
        let compared = Self::with(PAYMENTS).await;
        compared.attach(&["--made-at", "created_at"]).await;
        compared
    }

    async fn attach(&self, more: &[&str]) {
        let arguments = [&["--compare-as", &self.role], more].concat();
        self.shop.attach("shop.payments", &arguments).await;
    }

    async fn run(&self, sql: &str) {
        self.shop.run(sql).await;
    }

    /// As a session whose changes no trigger sees.
    async fn run_unseen(&self, sql: &str) {
        let sql = format!("SET session_replication_role = replica; {sql}");
        self.shop.database.as_superuser(&sql).await;
    }

    fn url(&self) -> String {
        self.shop.database.url_of(&self.role)
    }

    /// A worker that compares each second.
    async fn worker(&self) -> Worker {
        let url = self.url();
        Worker::start(
            &self.shop.database,
            &format!(
                "maintenance.compare_schedule = '* * * * * *'\nmaintenance.compare_urls = ['{url}']"
            ),
        )
        .await
    }

    /// What `posthorn source compare` says: its exit code, and its lines.
    async fn compare(&self) -> (i32, String) {
        self.compare_by(&self.url()).await
    }

    async fn compare_by(&self, url: &str) -> (i32, String) {
        let (status, said) = posthorn(&[
            "source",
            "compare",
            "payments",
            "--compare-url",
            url,
            "--database-url",
            &self.shop.database.url,
        ])
        .await;
        (status.code().unwrap(), said)
    }

    /// The rows that differ: merchant, transaction, status, and what was told last.
    async fn differences(&self) -> Vec<String> {
        let (code, said) = self.compare().await;
        let rows: Vec<String> = said
            .lines()
            .skip(2)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(code, i32::from(!rows.is_empty()), "{said}");
        rows
    }

    /// Why the table cannot be compared.
    async fn refusal(&self) -> String {
        let (code, said) = self.compare().await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("cannot be compared"), "{said}");
        said
    }
}

const NONE: [&str; 0] = [];

#[tokio::test]
async fn what_no_trigger_saw_is_found_until_it_is_told() {
    let payments = Compared::new().await;
    payments
        .run("INSERT INTO shop.payments SELECT n, 'm', 'new' FROM generate_series(1, 5) AS n")
        .await;
    payments
        .run("UPDATE shop.payments SET status = 'paid' WHERE id = 5")
        .await;
    assert_eq!(payments.differences().await, NONE);
    // A session that fires no triggers, an hour without triggers, and a restore of yesterday's.
    payments
        .run_unseen("UPDATE shop.payments SET status = 'paid' WHERE id = 1")
        .await;
    payments
        .run(
            "ALTER TABLE shop.payments DISABLE TRIGGER USER;
             INSERT INTO shop.payments VALUES (6, 'm', 'paid');
             UPDATE shop.payments SET status = 'void' WHERE id = 2;
             UPDATE shop.payments SET status = 'new' WHERE id = 5;
             UPDATE shop.payments SET note = 'nobody''s business', amount = 7 WHERE id = 3;
             DELETE FROM shop.payments WHERE id = 4;
             ALTER TABLE shop.payments ENABLE TRIGGER USER",
        )
        .await;
    assert_eq!(
        payments.differences().await,
        ["m 1 paid new", "m 2 void new", "m 5 new paid", "m 6 paid -"]
    );
    // One is told by hand, one is changed again, one is nobody's business.
    payments
        .run(
            "SELECT posthorn.publish('m', 'payments', '1', 'paid', '{}'::json);
             UPDATE shop.payments SET status = 'done' WHERE id = 2;
             INSERT INTO posthorn.source_untold (source, merchant, transaction_id, status) VALUES ('payments', 'm', '5', 'new')",
        )
        .await;
    assert_eq!(payments.differences().await, ["m 6 paid -"]);
    let (_, said) = payments.compare().await;
    assert!(
        said.contains("5 rows compared, 1 differ") && said.contains("1 are left untold"),
        "{said}"
    );
    // Attaching again, which mends triggers, forgets nothing.
    payments.attach(&["--made-at", "created_at"]).await;
    assert_eq!(payments.differences().await, ["m 6 paid -"]);
}

/// Also where each statement has a savepoint, and whatever is written to the row later.
#[tokio::test]
async fn what_a_muted_transaction_changed_is_no_difference_until_it_changes_again() {
    let payments = Compared::new().await;
    payments
        .run("INSERT INTO shop.payments SELECT n, 'm', 'new' FROM generate_series(1, 4) AS n")
        .await;
    payments
        .run(
            "BEGIN; SELECT posthorn.mute_source('payments', 'a backfill');
             SAVEPOINT s; UPDATE shop.payments SET status = 'old' WHERE id < 3; RELEASE s;
             INSERT INTO shop.payments VALUES (5, 'm', 'old'), (6, NULL, 'old'); COMMIT;",
        )
        .await;
    assert_eq!(payments.differences().await, NONE);
    payments
        .run("UPDATE shop.payments SET note = 'later'; ALTER TABLE shop.payments ALTER note TYPE varchar(100)")
        .await;
    assert_eq!(payments.differences().await, NONE);
    payments
        .run_unseen("UPDATE shop.payments SET status = 'lost' WHERE id = 1")
        .await;
    // It was told since, and then changed back unseen.
    payments
        .run("UPDATE shop.payments SET status = 'paid' WHERE id = 2")
        .await;
    payments
        .run_unseen("UPDATE shop.payments SET status = 'old' WHERE id = 2")
        .await;
    assert_eq!(
        payments.differences().await,
        ["m 1 lost new", "m 2 old paid"]
    );
}

#[tokio::test]
async fn what_is_left_untold_stays_so_after_a_scheduled_comparison() {
    let payments = Compared::with(PAYMENTS).await;
    payments.attach(&[]).await;
    payments
        .run("INSERT INTO shop.payments VALUES (1, 'm', 'new'), (2, 'm', 'new')")
        .await;
    payments
        .run(
            "BEGIN; SELECT posthorn.mute_source('payments', 'a backfill');
             UPDATE shop.payments SET status = 'old' WHERE id = 1; COMMIT;",
        )
        .await;
    payments
        .run_unseen("UPDATE shop.payments SET status = 'lost' WHERE id = 2")
        .await;
    let worker = payments.worker().await;
    worker
        .logs("`posthorn source compare payments` shows them")
        .await;
    drop(worker);
    assert_eq!(payments.differences().await, ["m 2 lost new"]);
}

/// Other changes were told before.
#[tokio::test]
async fn a_source_that_tells_of_more_begins_anew() {
    for (before, after) in [
        (&["--when", "new.amount > 100"][..], &[][..]),
        (&["--on", "update"], &[]),
        (&["--on", "insert"], &[]),
    ] {
        let payments = Compared::with(PAYMENTS).await;
        payments.attach(before).await;
        payments
            .run(
                "INSERT INTO shop.payments VALUES (1, 'm', 'new', 1), (2, 'm', 'new', 200);
                 UPDATE shop.payments SET status = 'paid'",
            )
            .await;
        assert_eq!(payments.differences().await, NONE);
        payments
            .attach(&[after, &["--made-at", "created_at"]].concat())
            .await;
        payments.run("UPDATE shop.payments SET note = 'x'").await;
        assert_eq!(payments.differences().await, NONE, "{before:?}");
        payments
            .run_unseen("INSERT INTO shop.payments VALUES (3, 'm', 'new')")
            .await;
        assert_eq!(payments.differences().await, ["m 3 new -"], "{before:?}");
    }
}

/// What only the comparison needs is nothing to a change.
#[tokio::test]
async fn a_change_is_told_when_the_comparison_is_not_possible_any_more() {
    let payments = Compared::new().await;
    payments
        .run("ALTER TABLE shop.payments DROP COLUMN created_at; INSERT INTO shop.payments VALUES (1, 'm', 'new')")
        .await;
    assert_eq!(payments.shop.told().await, ["m payments 1 new"]);
    assert!(
        payments
            .refusal()
            .await
            .contains("a column of it is missing")
    );
}

#[tokio::test]
async fn rows_of_before_the_source_are_no_differences() {
    let payments = Compared::with(PAYMENTS).await;
    payments
        .run("INSERT INTO shop.payments SELECT n, 'm', 'new' FROM generate_series(1, 3) AS n")
        .await;
    payments.attach(&["--made-at", "created_at"]).await;
    let (code, said) = payments.compare().await;
    assert!(code == 0 && said.contains("0 differ"), "{said}");
    payments
        .run("UPDATE shop.payments SET note = 'x' WHERE id < 3")
        .await;
    let (code, said) = payments.compare().await;
    assert!(
        code == 0 && said.contains("0 differ (3 have no event"),
        "{said}"
    );
}

#[tokio::test]
async fn rows_that_are_changed_meanwhile_are_no_differences() {
    let payments = Compared::new().await;
    payments
        .run("INSERT INTO shop.payments SELECT n, 'm', 'new' FROM generate_series(1, 3000) AS n")
        .await;
    let changing = async {
        let mut n = 0;
        loop {
            n += 1;
            payments
                .run(&format!(
                    "UPDATE shop.payments SET status = 's{n}' WHERE id % 3 = {n} % 3"
                ))
                .await;
        }
    };
    let comparing = async {
        for _ in 0..12 {
            assert_eq!(payments.differences().await, NONE);
        }
    };
    tokio::select! {
        () = comparing => {}
        () = changing => {}
    }
}

#[tokio::test]
async fn only_what_the_source_is_to_tell_is_compared() {
    for (options, changes, expected) in [
        (
            &["--when", "new.amount > 0"][..],
            "INSERT INTO shop.payments VALUES (1, 'm', 'new', 0), (2, 'm', 'new', 1);
             UPDATE shop.payments SET status = 'paid'",
            &["m 2 paid -"][..],
        ),
        (
            &["--kind-sql", "'payment.' || new.status"],
            "INSERT INTO shop.payments VALUES (1, 'm', 'new')",
            &["m 1 new -"],
        ),
        // Rows that are made are all that it tells of.
        (
            &["--on", "insert"],
            "INSERT INTO shop.payments VALUES (1, 'm', 'new');
             ALTER TABLE shop.payments ENABLE TRIGGER USER;
             INSERT INTO shop.payments VALUES (2, 'm', 'new'); UPDATE shop.payments SET status = 'paid'",
            &["m 1 paid -"],
        ),
        // A row that was only made has no event to look for.
        (
            &["--on", "update"],
            "INSERT INTO shop.payments VALUES (1, 'm', 'new');
             ALTER TABLE shop.payments ENABLE TRIGGER USER;
             INSERT INTO shop.payments VALUES (2, 'm', 'new'); UPDATE shop.payments SET status = 'paid' WHERE id = 2;
             ALTER TABLE shop.payments DISABLE TRIGGER USER; UPDATE shop.payments SET status = 'void' WHERE id = 2",
            &["m 2 void paid"],
        ),
        (
            &[],
            "INSERT INTO shop.payments VALUES (1, NULL, 'new'), (2, '', 'new'), (3, 'm', NULL), (4, 'm', '')",
            &[],
        ),
    ] {
        let payments = Compared::with(PAYMENTS).await;
        let made_at: &[&str] = if options.contains(&"update") {
            &[]
        } else {
            &["--made-at", "created_at"]
        };
        let options = [made_at, options].concat();
        payments.attach(&options).await;
        payments
            .run(&format!("ALTER TABLE shop.payments DISABLE TRIGGER USER; {changes}"))
            .await;
        assert_eq!(payments.differences().await, expected, "{options:?}");
    }
}

#[tokio::test]
async fn tables_of_any_kind_are_compared() {
    for (table, changes, expected) in [
        (
            "CREATE TABLE shop.payments (id bigint, merchant_id text, status text, created_at date DEFAULT now(),
                                         PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
             CREATE TABLE shop.old PARTITION OF shop.payments FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
             CREATE TABLE shop.young PARTITION OF shop.payments DEFAULT",
            "INSERT INTO shop.payments VALUES (1, 'm', 'new', '2026-01-01'), (2, 'm', 'new', '2019-01-01')",
            &["m 1 paid new", "m 2 paid new"][..],
        ),
        // A row for each status: what was told once is told.
        (
            "CREATE TABLE shop.payments (version serial PRIMARY KEY, id bigint, merchant_id text, status text,
                                         created_at timestamp DEFAULT now());
             CREATE INDEX ON shop.payments (id)",
            "INSERT INTO shop.payments (id, merchant_id, status) VALUES (1, 'm', 'new'); \
             INSERT INTO shop.payments (id, merchant_id, status) VALUES (1, 'm', 'authorised')",
            // Both of its rows are of one transaction, which is shown once.
            &["m 1 paid authorised"],
        ),
        (
            "CREATE TYPE shop.status AS ENUM ('new', 'paid');
             CREATE DOMAIN shop.merchant AS text CHECK (value <> '');
             CREATE TABLE shop.payments (id uuid PRIMARY KEY, merchant_id shop.merchant, status shop.status,
                                         created_at timestamptz DEFAULT now())",
            "INSERT INTO shop.payments VALUES ('00000000-0000-4000-8000-000000000001', 'm', 'new')",
            &["m 00000000-0000-4000-8000-000000000001 paid new"],
        ),
    ] {
        let payments = Compared::with(table).await;
        payments.attach(&["--made-at", "created_at"]).await;
        payments.run(changes).await;
        assert_eq!(payments.differences().await, NONE, "{table}");
        payments.run_unseen("UPDATE shop.payments SET status = 'paid'").await;
        assert_eq!(payments.differences().await, expected, "{table}");
    }
}

#[tokio::test]
async fn a_worker_compares_on_its_schedule_and_tells() {
    let payments = Compared::new().await;
    payments
        .run("INSERT INTO shop.payments VALUES (1, 'm', 'new')")
        .await;
    let worker = payments.worker().await;
    until(PATIENCE, "it is compared", async || {
        let list = payments.shop.list().await;
        list.contains("compared with its events at").then_some(())
    })
    .await;
    payments
        .run_unseen("UPDATE shop.payments SET status = 'paid'")
        .await;
    until(PATIENCE, "the difference is found", async || {
        (worker.metric("posthorn_source_differences").await > 0.0).then_some(())
    })
    .await;
    worker
        .logs("`posthorn source compare payments` shows them")
        .await;
    assert!(
        worker
            .metric("posthorn_source_compared_timestamp_seconds")
            .await
            > 1.7e9
    );
    let found: String = payments
        .shop
        .database
        .value("SELECT concat_ws(' ', source, merchant, transaction_id, status, told) FROM posthorn.source_differences")
        .await;
    assert_eq!(found, "payments m 1 paid new");
    assert!(
        payments
            .shop
            .list()
            .await
            .contains("! rows whose status was not told: 1;")
    );
    payments
        .run("SELECT posthorn.publish('m', 'payments', '1', 'paid', '{}'::json)")
        .await;
    worker.logs("has been told again").await;
    until(PATIENCE, "it is mended", async || {
        (worker.metric("posthorn_source_differences").await < 1.0).then_some(())
    })
    .await;
    // What it may not read any more is said, and what was known is kept.
    let revoke = format!("REVOKE USAGE ON SCHEMA shop FROM {}", payments.role);
    payments.run(&revoke).await;
    worker.logs("cannot be compared").await;
    let list = payments.shop.list().await;
    assert!(
        list.contains(
            "! it cannot be compared with its events: its role may not read what it needs"
        ),
        "{list}"
    );
}

#[tokio::test]
async fn a_worker_without_a_url_says_that_it_cannot() {
    let payments = Compared::new().await;
    let worker = Worker::start(
        &payments.shop.database,
        "maintenance.compare_schedule = '* * * * * *'",
    )
    .await;
    worker.logs("there is no URL of its role").await;
}

#[tokio::test]
async fn what_cannot_be_compared_is_said_with_the_reason() {
    let payments = Compared::new().await;
    payments
        .run("INSERT INTO shop.payments VALUES (1, 'm', 'new')")
        .await;
    payments
        .attach(&["--when", "old.status IS NULL OR old.status <> 'new'"])
        .await;
    assert!(payments.refusal().await.contains("its SQL names old"));
    payments.attach(&["--when", "1 / (new.id - 1) > 0"]).await;
    let said = payments.refusal().await;
    assert!(said.contains("may quote a row (22012)"), "{said}");
    payments
        .attach(&[
            "--when",
            "to_tsquery('simple', new.note) IS NOT NULL",
            "--on-failure",
            "record",
        ])
        .await;
    payments
        .run("UPDATE shop.payments SET note = 'card 4111111111111111 pin'")
        .await;
    let said = payments.refusal().await;
    assert!(!said.contains("4111"), "{said}");
    payments.run("UPDATE shop.payments SET status = 'x'").await;
    let recorded: String = payments
        .shop
        .database
        .value("SELECT string_agg(reason, ' ') FROM posthorn.source_failures")
        .await;
    assert!(!recorded.contains("4111"), "{recorded}");
    payments.attach(&[]).await;
    payments
        .run("ALTER TABLE shop.payments ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON shop.payments USING (id > 1)")
        .await;
    assert!(payments.refusal().await.contains("BYPASSRLS"));
    payments
        .run("ALTER TABLE shop.payments DISABLE ROW LEVEL SECURITY")
        .await;
    assert_eq!(payments.compare().await.0, 0);
    // Another database, a wrong one, one that is away.
    let other = Database::new().await;
    let (code, said) = payments.compare_by(&other.url_of(&payments.role)).await;
    assert!(
        code == 1 && said.contains("leads to another database"),
        "{said}"
    );
    let (server, _) = payments
        .url()
        .rsplit_once('/')
        .map(|(server, name)| (server.to_owned(), name.to_owned()))
        .unwrap();
    let nowhere = format!("{server}/nowhere");
    let (code, said) = payments.compare_by(&nowhere).await;
    assert!(code == 1 && said.contains("nowhere"), "{said}");
    let (status, said) = posthorn(&[
        "source",
        "compare",
        "x",
        "--compare-url",
        &payments.url(),
        "--database-url",
        &payments.shop.database.url,
    ])
    .await;
    assert!(
        status.code() == Some(1) && said.contains("there is no source of the name"),
        "{said}"
    );
    let refused = payments
        .shop
        .attach_refused(
            "shop.payments",
            &["--compare-as", &payments.role, "--made-at", "note"],
        )
        .await;
    assert!(
        refused.contains("--made-at note: it is of type text"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_long_table_takes_seconds() {
    let payments = Compared::new().await;
    payments
        .run("INSERT INTO shop.payments SELECT n, 'm', 'new' FROM generate_series(1, 50000) AS n")
        .await;
    payments
        .run_unseen("UPDATE shop.payments SET status = 'paid' WHERE id % 1000 = 0")
        .await;
    let began = std::time::Instant::now();
    assert_eq!(payments.differences().await.len(), 50);
    assert!(began.elapsed() < Duration::from_mins(1));
}
