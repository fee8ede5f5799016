//! What the owner and the writers of a table that is a source can do by it.

use super::{Attacker, Scene};

/// The application owns its table, its types, and the functions that the operator's SQL calls.
const TABLE: &str = "
    CREATE TYPE MINE.state AS ENUM ('new', 'paid');
    CREATE TYPE MINE.merchant AS (name text);
    CREATE DOMAIN MINE.amount AS numeric CHECK (MINE.spring() OR VALUE IS NULL);
    CREATE TABLE MINE.payments (id int PRIMARY KEY, merchant MINE.merchant, status MINE.state, amount MINE.amount);
    CREATE FUNCTION MINE.to_text(MINE.state) RETURNS text LANGUAGE plpgsql STRICT AS
    $$ BEGIN PERFORM MINE.spring(); RETURN 'paid'; END $$;
    CREATE FUNCTION MINE.to_json(MINE.state) RETURNS json LANGUAGE plpgsql AS
    $$ BEGIN PERFORM MINE.spring(); RETURN '\"paid\"'; END $$;
    CREATE FUNCTION MINE.name(MINE.merchant) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM MINE.spring(); RETURN 'acme'; END $$;
    CREATE FUNCTION MINE.same(MINE.state, MINE.state) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM MINE.spring(); RETURN false; END $$;
    CREATE OPERATOR MINE.= (LEFTARG = MINE.state, RIGHTARG = MINE.state, FUNCTION = MINE.same);
    CREATE CAST (MINE.state AS text) WITH FUNCTION MINE.to_text(MINE.state) AS IMPLICIT;
    CREATE CAST (MINE.state AS json) WITH FUNCTION MINE.to_json(MINE.state) AS IMPLICIT;
    CREATE CAST (MINE.merchant AS text) WITH FUNCTION MINE.name(MINE.merchant) AS IMPLICIT;
    CREATE FUNCTION MINE.wanted(id int) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM MINE.spring(); RETURN true; END $$;
    CREATE FUNCTION MINE.data(id int) RETURNS json LANGUAGE plpgsql AS
    $$ BEGIN PERFORM MINE.spring(); RETURN '{}'; END $$;
    GRANT ALL ON MINE.payments TO OWNER";

pub async fn types_of_the_application(scene: &Scene) {
    let mut application = Attacker::new(scene, "nobody").await;
    application.run(&TABLE.replace("OWNER", scene.owner)).await;
    texts_in_expressions(scene, &mut application).await;
    let table = format!("{}.payments", application.role);
    let wanted = format!("{}.wanted(new.id)", application.role);
    let data = format!("{}.data(new.id)", application.role);
    for options in [
        &[] as &[&str],
        &["--on-failure", "record"],
        &["--when", &wanted, "--data-sql", &data],
        &[
            "--when",
            &wanted,
            "--data-sql",
            &data,
            "--kind-sql",
            "new.status::text",
            "--on-failure",
            "record",
        ],
    ] {
        attach(scene, &table, options).await;
        scene.database.execute("DELETE FROM posthorn.events").await;
        application
            .run(
                "INSERT INTO MINE.payments VALUES (1, row('acme'), 'new', 5), (2, row('acme'), 'new', 5);
                 UPDATE MINE.payments SET status = 'paid', amount = 6;
                 DELETE FROM MINE.payments",
            )
            .await;
        let told: Vec<String> = scene
            .database
            .value(
                "SELECT coalesce(array_agg(concat_ws(' ', merchant, transaction_id, shard = posthorn.shard_of(merchant))
                                           ORDER BY id), '{}')
                   FROM posthorn.events",
            )
            .await;
        assert_eq!(told, ["acme 1 t", "acme 2 t"], "{options:?}");
        // What is changed behind the operator's back.
        application
            .run(
                "ALTER TABLE MINE.payments ADD COLUMN more MINE.state;
                 ALTER TABLE MINE.payments ALTER id TYPE bigint",
            )
            .await;
        application
            .tries("INSERT INTO MINE.payments VALUES (3, row('acme'), 'new', 5, 'new')")
            .await;
        application
            .run(
                "DELETE FROM MINE.payments;
                 ALTER TABLE MINE.payments DROP COLUMN more;
                 ALTER TABLE MINE.payments ALTER id TYPE int",
            )
            .await;
        // Whoever has no right on Posthorn at all but on a view of the table still writes.
        application
            .run(
                "CREATE OR REPLACE VIEW MINE.seen AS SELECT * FROM MINE.payments;
                 GRANT INSERT ON MINE.seen TO PUBLIC",
            )
            .await;
        let mut other = Attacker::new(scene, "gateway").await;
        other
            .run(&format!(
                "INSERT INTO {}.seen VALUES (9, row('acme'), 'new', NULL)",
                application.role
            ))
            .await;
        application
            .run("DELETE FROM MINE.payments; DROP VIEW MINE.seen")
            .await;
    }
}

/// A text in an expression becomes a value of the application's domain while it is read.
async fn texts_in_expressions(scene: &Scene, application: &mut Attacker) {
    application
        .run(&format!(
            "CREATE DOMAIN MINE.tag AS text CHECK (MINE.spring());
             CREATE TABLE MINE.tagged (id int PRIMARY KEY, merchant text, status text, tags MINE.tag[]);
             GRANT ALL ON MINE.tagged TO {}",
            scene.owner
        ))
        .await;
    let tagged = format!("{}.tagged", application.role);
    for dry in [&["--dry-run"][..], &[]] {
        let when = ["--when", "new.tags @> '{vip}'"];
        attach(scene, &tagged, &[&when[..], dry].concat()).await;
    }
}

/// What an attacker would have the owner's trigger publish.
pub async fn events_that_no_row_is_of(scene: &Scene) {
    let mut writer = Attacker::new(scene, "viewer").await;
    let mut application = Attacker::new(scene, "nobody").await;
    application
        .run(
            "CREATE TABLE MINE.orders (id int PRIMARY KEY, merchant text, status text);
             GRANT INSERT, UPDATE, TRIGGER ON MINE.orders TO PUBLIC",
        )
        .await;
    let table = format!("{}.orders", application.role);
    attach(scene, &table, &[]).await;
    scene.database.execute("DELETE FROM posthorn.events").await;
    // The settings by which the rows travel, set beforehand at every depth.
    let forge = "SET search_path = pg_catalog;
                 SELECT set_config(format('posthorn.source_%s_%s', md5('orders'), d), '9 9', false),
                        set_config(format('posthorn.source_%s_%s_%s_%s', md5('orders'), d, p, c), '{forged}', false)
                   FROM generate_series(0, 3) AS d, generate_series(0, 9) AS p,
                        unnest(ARRAY['merchants', 'kinds', 'ids', 'statuses', 'data', 'keys',
                                     'failed_keys', 'failed_states', 'failed_messages']) AS c;";
    writer
        .run(&format!(
            "{forge} INSERT INTO {table} VALUES (1, 'acme', 'new')"
        ))
        .await;
    writer
        .run(&format!(
            "{forge} INSERT INTO {table} SELECT 1, 'x', 'y' WHERE false"
        ))
        .await;
    writer
        .run(&format!(
            "{forge} UPDATE {table} SET status = 'other' WHERE false"
        ))
        .await;
    for sql in [
        "VALUES (5, NULL, 'new')",
        "VALUES (6, 'acme', 'new'), (7, NULL, 'new')",
    ] {
        let refusal = writer
            .tries(&format!("SET array_nulls = off; INSERT INTO {table} {sql}"))
            .await;
        assert!(
            refusal.is_some_and(|text| text.contains("is NULL")),
            "{sql}"
        );
    }
    let told: Vec<String> = scene
        .database
        .value(
            "SELECT array_agg(merchant || ' ' || transaction_id ORDER BY id) FROM posthorn.events",
        )
        .await;
    assert_eq!(told, ["acme 1"]);
    // The settings show nothing of a row afterwards.
    writer
        .run(&format!(
            "BEGIN; SET LOCAL search_path = pg_catalog; INSERT INTO {table} VALUES (2, 'acme', 'secret-status');
             DO $$
             DECLARE
                 seen text := (SELECT string_agg(c || current_setting(format('posthorn.source_%s_1_0_%s', md5('orders'), c), true), ' ')
                                 FROM unnest(ARRAY['merchants', 'ids', 'statuses', 'data']) AS c);
             BEGIN
                 IF seen <> 'merchants ids statuses data' THEN RAISE 'there is still %', seen; END IF;
             END $$;
             COMMIT"
        ))
        .await;
}

async fn attach(scene: &Scene, table: &str, options: &[&str]) {
    let columns = ["--merchant=merchant", "--id=id", "--status=status"];
    let attach = ["source", "attach", table];
    scene
        .posthorn(&[&attach[..], &columns, options].concat())
        .await;
}
