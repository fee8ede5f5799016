//! Who reads a table to compare it, and what its owner may make of that.

use posthorn::demo::postgres::{OWNER, SUPERUSER};

use super::{Compared, PAYMENTS};
use crate::support::{Database, PATIENCE, until};

#[tokio::test]
async fn a_role_that_has_anything_of_posthorns_is_refused() {
    let payments = Compared::with(PAYMENTS).await;
    let database = &payments.shop.database;
    let name = &database.name;
    database
        .as_superuser(&format!(
            "CREATE ROLE worker_{name}; CREATE ROLE member_{name} LOGIN NOINHERIT IN ROLE worker_{name};
             CREATE ROLE super_{name} LOGIN SUPERUSER; CREATE ROLE maker_{name} LOGIN CREATEROLE;
             CREATE ROLE all_{name} LOGIN IN ROLE pg_read_all_data;
             CREATE ROLE program_{name} LOGIN IN ROLE pg_monitor; CREATE ROLE replica_{name} LOGIN REPLICATION;"
        ))
        .await;
    let worker = format!("worker_{name}");
    database.grant("--worker", &worker).await;
    payments.attach(&[]).await;
    for (role, why) in [
        (format!("member_{name}"), format!("can become {worker}")),
        (format!("super_{name}"), "is a superuser".to_owned()),
        (
            format!("maker_{name}"),
            "is allowed to make roles".to_owned(),
        ),
        (
            format!("all_{name}"),
            "allowed to use the schema posthorn".to_owned(),
        ),
        (
            format!("program_{name}"),
            "is allowed more than a plain role".to_owned(),
        ),
        (
            format!("replica_{name}"),
            "allowed to read every change".to_owned(),
        ),
    ] {
        let refused = payments
            .shop
            .attach_refused("shop.payments", &["--compare-as", &role])
            .await;
        assert!(refused.contains(&why), "{role}: {refused}");
        let (code, said) = payments.compare_by(&database.url_of(&role)).await;
        assert!(
            code == 1 && said.contains("there is no URL of its role"),
            "{role}: {said}"
        );
    }
    // Rights that it got later.
    let role = &payments.role;
    for (given, taken, why) in [
        (
            format!("GRANT {worker} TO {role}"),
            format!("REVOKE {worker} FROM {role}"),
            "allowed to use the schema posthorn",
        ),
        (
            format!("ALTER ROLE {role} CREATEROLE"),
            format!("ALTER ROLE {role} NOCREATEROLE"),
            "allowed to make roles",
        ),
        (
            format!("GRANT USAGE ON SCHEMA posthorn TO {role}"),
            format!("REVOKE USAGE ON SCHEMA posthorn FROM {role}"),
            "allowed to use the schema posthorn",
        ),
    ] {
        database.as_superuser(&given).await;
        assert!(payments.refusal().await.contains(why), "{given}");
        database.as_superuser(&taken).await;
        assert_eq!(payments.compare().await.0, 0, "{taken}");
    }
    let refused = payments
        .shop
        .attach_refused("shop.payments", &["--compare-as", "nobody"])
        .await;
    assert!(refused.contains("has no role \"nobody\""), "{refused}");
}

/// An application whose owner defines what reading his table evaluates, and waits for somebody who
/// has something of Posthorn's.
struct Trapped {
    payments: Compared,
    app: Database,
}

impl Trapped {
    async fn new() -> Self {
        let payments = Compared::with("SELECT").await;
        let database = &payments.shop.database;
        let app = format!("app_{}", database.name);
        database
            .as_superuser(&format!(
                "CREATE ROLE {app} LOGIN; CREATE SCHEMA app AUTHORIZATION {app}"
            ))
            .await;
        let app = Database::connect(&database.name, database.url_of(&app));
        app
        .execute(&format!(
            "CREATE FUNCTION app.trap(anyelement) RETURNS anyelement IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN
                 IF has_schema_privilege(current_user, 'posthorn', 'USAGE')
                    OR has_schema_privilege(session_user, 'posthorn', 'USAGE') THEN
                     RAISE EXCEPTION 'caught %', current_user USING ERRCODE = '42501';
                 END IF;
                 RETURN $1;
             END $$;
             CREATE DOMAIN app.word AS text CHECK (app.trap(value) IS NOT NULL);
             CREATE TABLE app.payments (id bigint PRIMARY KEY, merchant_id text, status app.word,
                                        created_at timestamptz DEFAULT now(), tags text[]);
             GRANT USAGE ON SCHEMA app TO {OWNER};
             GRANT TRIGGER, SELECT ON app.payments TO {OWNER};
             CREATE INDEX ON app.payments ((id + app.trap(1)));
             CREATE INDEX ON app.payments (id) WHERE app.trap(true);
             CREATE STATISTICS app.s ON (id + app.trap(2)), merchant_id FROM app.payments",
        ))
        .await;
        // Posthorn's owner may not give what is not his.
        let refused = payments
            .shop
            .attach_refused(
                "app.payments",
                &["--compare-as", &payments.role, "--made-at", "created_at"],
            )
            .await;
        let grants = refused
            .split_once("have its owner run: ")
            .unwrap_or_else(|| panic!("{refused}"))
            .1
            .trim();
        app.execute(grants).await;
        payments
            .shop
            .attach(
                "app.payments",
                &["--compare-as", &payments.role, "--made-at", "created_at"],
            )
            .await;
        app.execute(
            "INSERT INTO app.payments SELECT n, 'm', 'new' FROM generate_series(1, 100) AS n",
        )
        .await;
        app.execute(
            "ALTER TABLE app.payments DISABLE TRIGGER USER;
             UPDATE app.payments SET status = 'paid' WHERE id = 7;
             ALTER TABLE app.payments ENABLE TRIGGER USER",
        )
        .await;
        Self { payments, app }
    }
}

#[tokio::test]
async fn nothing_of_the_tables_owner_runs_as_anybody_who_has_something() {
    let trapped = Trapped::new().await;
    let Trapped { payments, app } = &trapped;
    let worker = payments.worker().await;
    until(PATIENCE, "the difference is found", async || {
        (worker.metric("posthorn_source_differences").await > 0.0).then_some(())
    })
    .await;
    assert_eq!(payments.differences().await, ["m 7 paid new"]);
    let list = payments.shop.list().await;
    assert!(!list.contains("caught"), "{list}");
    // The trap would have caught.
    let caught = payments
        .shop
        .database
        .try_execute("SELECT app.trap(1)")
        .await
        .unwrap_err()
        .to_string();
    assert!(caught.contains("caught"), "{caught}");
    // Another owner's table by the same role.
    payments
        .run("CREATE SCHEMA shop2; CREATE TABLE shop2.orders (id bigint PRIMARY KEY, merchant_id text, status text)")
        .await;
    let refused = payments
        .shop
        .attach_refused("shop2.orders", &["--compare-as", &payments.role])
        .await;
    assert!(refused.contains("a role of their own"), "{refused}");
    drop(worker);
    // A view in its place.
    app
        .execute(
            "ALTER TABLE app.payments RENAME TO rows;
             CREATE VIEW app.payments AS SELECT id, merchant_id, app.trap(status) AS status, created_at FROM app.rows",
        )
        .await;
    let (_, said) = payments.compare().await;
    assert!(!said.contains("caught"), "{said}");
}

/// It does not heed a limit of time, and tells what it has seen.
#[tokio::test]
async fn what_does_not_end_is_ended_and_nothing_that_it_says_is_shown() {
    let trapped = Trapped::new().await;
    let Trapped { payments, app } = &trapped;
    app
        .execute(
            "CREATE OR REPLACE FUNCTION app.trap(anyelement) RETURNS anyelement IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN
                 IF session_user::text NOT LIKE 'compare%' THEN
                     RETURN $1;
                 END IF;
                 RAISE WARNING 'card 4111111111111111';
                 LOOP
                     BEGIN
                         PERFORM pg_sleep(1000);
                     EXCEPTION WHEN query_canceled THEN
                         NULL;
                     END;
                 END LOOP;
             END $$",
        )
        .await;
    let database = &payments.shop.database;
    let administrator = Database::connect(&database.name, database.url_of(SUPERUSER));
    let mut worker = payments.worker().await;
    let stuck = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state <> 'idle'",
        payments.role
    );
    administrator
        .counts("it is stuck", &stuck, |sessions| sessions > 0)
        .await;
    until(2 * PATIENCE, "it is given up", async || {
        let list = payments.shop.list().await;
        list.contains("did not end within the limit").then_some(())
    })
    .await;
    assert!(!worker.log().contains("4111"), "{}", worker.log());
    // Nothing of it goes on, also where the worker does not come to end it.
    worker.kill9().await;
    until(2 * PATIENCE, "it has ended", async || {
        (administrator.value::<i64>(&stuck).await == 0).then_some(())
    })
    .await;
}
