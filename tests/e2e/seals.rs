//! Whoever changes a record of a sealed day is found out, whatever rights he has.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Setup, Worker, posthorn, receiver, until};

/// How many days ago the records were written.
const DAYS: i32 = 2;

/// A database with delivered events, all of whose rows are of two days ago, sealed. The
/// worker goes on, with further lines of configuration.
async fn sealed(events: usize, toml: &str) -> (Database, Vec<Uuid>, Worker) {
    let answer = "200,body=echo";
    sealed_after(answer, "delivered", events, toml).await
}

/// The same with another answer, after which deliveries are in that state.
async fn sealed_after(
    answer: &str,
    state: &str,
    events: usize,
    toml: &str,
) -> (Database, Vec<Uuid>, Worker) {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", answer.parse().unwrap());
    let settings = json!({"url": receiver.url("/hook"), "max_attempts": 1});
    database.subscribe("acme", "orders", settings).await;
    let mut worker = Setup::new(&database).start().await;
    for number in 0..events {
        let transaction = format!("t{number}");
        database
            .publish("acme", &transaction, "approved", "{}")
            .await;
    }
    let count = i64::try_from(events).unwrap();
    database.count_reaches(state, count).await;
    assert!(worker.sigterm().await.success());
    // Only now, or the worker had sealed the day without them.
    database.make_day(DAYS).await;
    let noon = format!("(current_date - {DAYS})::timestamptz + interval '12 hours'");
    let aged = |id: &str| {
        format!("(left(posthorn.uuid_floor({noon})::text, 13) || right({id}::text, 23))::uuid")
    };
    database
        .as_superuser(&format!(
            "SET LOCAL session_replication_role = replica;
             UPDATE posthorn.events SET id = {}, created_at = {noon};
             UPDATE posthorn.deliveries SET event_id = {}, finished_at = {noon};
             UPDATE posthorn.attempts SET event_id = {}, recorded_at = {noon} + interval '1 minute'",
            aged("id"),
            aged("event_id"),
            aged("event_id")
        ))
        .await;
    let worker = Worker::start(
        &database,
        &format!("[maintenance]\nschedule = '* * * * * *'\n{toml}"),
    )
    .await;
    until(PATIENCE, "a sealed day", async || {
        let sealed: bool = database
            .value(&format!(
                "SELECT EXISTS (SELECT FROM posthorn.seals WHERE day = current_date - {DAYS})"
            ))
            .await;
        sealed.then_some(())
    })
    .await;
    let events = sqlx::query_scalar("SELECT id FROM posthorn.events ORDER BY id")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    (database, events, worker)
}

async fn tamper(database: &Database, sql: &str) {
    let sql = format!("SET LOCAL session_replication_role = replica; {sql}");
    database.as_superuser(&sql).await;
}

/// The exit code, what people read, and the first finding that programs get.
async fn verify(database: &Database, more: &[&str]) -> (Option<i32>, String, Value) {
    let call = ["audit", "--seals", "--database-url", &database.url];
    let (status, said) = posthorn(&[&call[..], more].concat()).await;
    let (_, lines) = posthorn(&[&call[..], more, &["--json"]].concat()).await;
    let days = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let findings: Vec<Value> = days
        .flat_map(|mut day: Value| match day["findings"].take() {
            Value::Array(findings) => findings,
            other => panic!("{other}"),
        })
        .collect();
    let first = findings.first().cloned().unwrap_or_default();
    (status.code(), said, first)
}

#[tokio::test]
async fn an_altered_a_removed_and_an_added_row_are_found_and_named() {
    let (database, events, _worker) = sealed(5, "").await;
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("5 deliveries, 5 attempts: as sealed"),
        "{said}"
    );

    let third = events[2];
    for (change, undo, records, expected, named) in [
        (
            format!("UPDATE posthorn.deliveries SET state = 'cancelled', reason = 'x' WHERE event_id = '{third}'"),
            format!("UPDATE posthorn.deliveries SET state = 'delivered', reason = NULL WHERE event_id = '{third}'"),
            "deliveries",
            "altered",
            third,
        ),
        (
            format!("CREATE TABLE kept AS SELECT * FROM posthorn.deliveries WHERE event_id = '{third}';
                     DELETE FROM posthorn.deliveries WHERE event_id = '{third}'"),
            "INSERT INTO posthorn.deliveries SELECT * FROM kept".to_owned(),
            "deliveries",
            "removed",
            events[1],
        ),
        (
            format!("INSERT INTO posthorn.attempts SELECT (a).* FROM (
                         SELECT jsonb_populate_record(a, '{{\"number\": 2}}') AS a FROM posthorn.attempts a WHERE event_id = '{third}') AS b"),
            "DELETE FROM posthorn.attempts WHERE number = 2".to_owned(),
            "attempts",
            "added",
            third,
        ),
        (
            format!("UPDATE posthorn.attempts SET payload_digest = head_digest WHERE event_id = '{third}'"),
            String::new(),
            "attempts",
            "altered",
            third,
        ),
    ] {
        tamper(&database, &change).await;
        let (code, said, finding) = verify(&database, &[]).await;
        assert_eq!(code, Some(1), "{change}: {said}");
        assert_eq!(finding["records"], records, "{finding}");
        let row = &finding["rows"][0];
        assert_eq!(row["change"], expected, "{finding}");
        assert!(row.to_string().contains(&named.to_string()), "{finding}");
        assert!(said.contains(expected) && said.contains(&named.to_string()), "{said}");
        assert_eq!(finding["rows"].as_array().unwrap().len(), 1, "{finding}");
        if !undo.is_empty() {
            tamper(&database, &undo).await;
            let (code, said, _) = verify(&database, &[]).await;
            assert_eq!(code, Some(0), "{said}");
        }
    }
}

#[tokio::test]
async fn whoever_makes_the_seals_fit_again_is_found_by_an_export() {
    let (database, _, worker) = sealed(2, "").await;
    let (status, exported) =
        posthorn(&["audit", "--export-seals", "--database-url", &database.url]).await;
    assert!(status.success(), "{exported}");
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("seals.jsonl");
    std::fs::write(&kept, &exported).unwrap();
    let against = ["--against", kept.to_str().unwrap()];
    let (code, said, _) = verify(&database, &against).await;
    assert_eq!(code, Some(0), "{said}");

    // A column of the seal alone.
    tamper(
        &database,
        "UPDATE posthorn.seals SET deliveries = 9 WHERE deliveries = 2",
    )
    .await;
    let (code, _, finding) = verify(&database, &[]).await;
    assert_eq!(
        (code, &finding["finding"]),
        (Some(1), &json!("broken_chain"))
    );

    // A row, and everything sealed anew by Posthorn itself.
    tamper(
        &database,
        "UPDATE posthorn.deliveries SET attempts = 7;
         DELETE FROM posthorn.seals; DELETE FROM posthorn.seal_slices",
    )
    .await;
    let day = exported.lines().next_back().unwrap();
    let day: Value = serde_json::from_str(day).unwrap();
    let day = day["day"].as_str().unwrap();
    until(PATIENCE, "the same days sealed again", async || {
        let sealed: Option<bool> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT true FROM posthorn.seals WHERE day = '{day}'"
        )))
        .fetch_optional(&database.pool)
        .await
        .unwrap();
        sealed
    })
    .await;
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said, finding) = verify(&database, &against).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(finding["finding"], "not_as_exported");
    drop(worker);

    std::fs::write(&kept, "no seal").unwrap();
    let call = ["audit", "--seals", "--database-url", &database.url];
    let (status, said) = posthorn(&[&call[..], &against].concat()).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("line 1: not a seal"), "{said}");
}

#[tokio::test]
async fn purged_reasons_leave_their_digests_and_are_no_tampering() {
    let answer = "503,reason=No Jane Doe here,body=Jane Doe";
    let (database, events, mut worker) = sealed_after(answer, "posting_error", 2, "").await;
    let quoted = |table: &str| {
        format!("SELECT count(*) FROM posthorn.{table} WHERE reason LIKE '%Jane Doe%'")
    };
    for table in ["attempts", "deliveries"] {
        assert_eq!(database.value::<i64>(&quoted(table)).await, 2, "{table}");
    }
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(worker.sigterm().await.success());
    let _worker = Worker::start(
        &database,
        "[maintenance]\nschedule = '* * * * * *'\npayload_days = 1",
    )
    .await;
    until(PATIENCE, "purged reasons", async || {
        let left: i64 = database
            .value(
                "SELECT count(*) FROM posthorn.attempts a FULL JOIN posthorn.deliveries d USING (event_id)
                  WHERE num_nonnulls(a.reason, d.reason, a.body) > 0
                     OR num_nulls(a.reason_digest, d.reason_digest, a.answer_digest) > 0",
            )
            .await;
        (left == 0).then_some(())
    })
    .await;
    // The seal was made of the text, and holds for its digest.
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("2 deliveries, 2 attempts: as sealed"),
        "{said}"
    );
    let url = ["--database-url", &database.url];
    let (_, said) = posthorn(&[&["deliveries"][..], &url].concat()).await;
    assert!(said.contains("503") && said.contains("(purged)"), "{said}");
    let event = events[0].to_string();
    let (_, story) = posthorn(&[&["evidence", &event][..], &url].concat()).await;
    assert!(!story.contains("Jane Doe"), "{story}");
    let story: Value = serde_json::from_str(&story).unwrap();
    let delivery = &story["deliveries"][0];
    for row in [&delivery["delivery"], &delivery["attempts"][0]] {
        assert_eq!(row["reason"], Value::Null);
        assert_eq!(row["reason_digest"].as_str().map(str::len), Some(64));
    }
    // Nor does a digest stand for any text.
    tamper(
        &database,
        "UPDATE posthorn.attempts SET reason_digest = sha256('other') WHERE number = 1",
    )
    .await;
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(1), "{said}");
}

#[tokio::test]
async fn purged_answers_and_dropped_days_are_no_tampering() {
    let (database, events, mut worker) = sealed(3, "payload_days = 1").await;
    until(PATIENCE, "purged answers", async || {
        let left: i64 = database
            .value("SELECT count(*) FROM posthorn.attempts WHERE body IS NOT NULL")
            .await;
        (left == 0).then_some(())
    })
    .await;
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    let event = events[0].to_string();
    let (_, story) = posthorn(&["evidence", &event, "--database-url", &database.url]).await;
    let story: Value = serde_json::from_str(&story).unwrap();
    let delivery = &story["deliveries"][0];
    for row in [&delivery["delivery"], &delivery["attempts"][0]] {
        assert_eq!(row["seal"]["seal"].as_str().map(str::len), Some(64));
    }

    assert!(worker.sigterm().await.success());
    let _worker = Worker::start(
        &database,
        "[maintenance]\nschedule = '* * * * * *'\nretention_days = 1",
    )
    .await;
    until(PATIENCE, "a dropped day", async || {
        let dropped: bool = database
            .value("SELECT EXISTS (SELECT FROM posthorn.dropped_days)")
            .await;
        dropped.then_some(())
    })
    .await;
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("3 deliveries, 3 attempts: dropped by retention"),
        "{said}"
    );
}

#[tokio::test]
async fn a_partition_that_retention_did_not_drop_is_missed() {
    let (database, _, mut worker) = sealed(2, "").await;
    assert!(worker.sigterm().await.success());
    let part: String = database
        .value(&format!(
            "SELECT 'deliveries_' || to_char(current_date - {DAYS}, 'YYYYMMDD')"
        ))
        .await;
    database
        .execute(&format!("DROP TABLE posthorn.{part}"))
        .await;
    let (code, said, finding) = verify(&database, &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(
        (&finding["sealed"], &finding["found"]),
        (&json!(2), &json!(0))
    );
}

#[tokio::test]
async fn a_database_without_seals_says_so() {
    let database = Database::new().await;
    let (code, said, _) = verify(&database, &[]).await;
    assert_eq!(code, Some(0));
    assert!(said.contains("no day is sealed yet"), "{said}");
}
