//! Objects that any role can make: temporary ones, and those in a schema of its own.

use super::{Attacker, PARTS, Scene};

/// Each of Posthorn's trigger functions, put on a table of the attacker's.
const TRIGGERS: [&str; 21] = [
    "append_source_rows",
    "clear_gone_at",
    "guard_managed_row",
    "guard_replay",
    "guard_shard",
    "keep_deletion",
    "keep_version",
    "publish_own",
    "refuse_change",
    "refuse_change_but_purge",
    "refuse_delete",
    "refuse_event",
    "refuse_locks",
    "refuse_move",
    "refuse_named_secret",
    "refuse_profiles",
    "refuse_subscriptions",
    "refuse_unfinished",
    "secret_changed",
    "stamp_revision",
    "take_revision",
];

pub async fn temporary_objects_and_foreign_types(scene: &Scene) {
    let history: i64 = scene
        .database
        .value("SELECT count(*) FROM posthorn.config_history")
        .await;
    for (part, _) in PARTS {
        let mut attacker = Attacker::new(scene, part).await;
        attacker
            .run(
                "CREATE TYPE MINE.loud AS (a int);
                 CREATE FUNCTION MINE.to_json(MINE.loud) RETURNS json LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM MINE.spring(); RETURN '{}'; END $$;
                 CREATE FUNCTION MINE.to_text(MINE.loud) RETURNS text LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM MINE.spring(); RETURN 'acme'; END $$;
                 CREATE CAST (MINE.loud AS json) WITH FUNCTION MINE.to_json(MINE.loud) AS IMPLICIT;
                 CREATE CAST (MINE.loud AS text) WITH FUNCTION MINE.to_text(MINE.loud) AS IMPLICIT;
                 CREATE DOMAIN MINE.heard AS text CHECK (MINE.spring());
                 CREATE TEMPORARY TABLE subscriptions (id MINE.loud, name MINE.heard, revision bigint)",
            )
            .await;
        for function in TRIGGERS {
            attacker
                .may_not(&format!(
                    "CREATE TRIGGER t AFTER INSERT ON subscriptions
                         FOR EACH ROW EXECUTE FUNCTION posthorn.{function}('x')"
                ))
                .await;
        }
        // A table of a type of Posthorn's, and values of one's own in the way of what is Posthorn's.
        attacker
            .tries_each(&[
                "CREATE CAST (posthorn.subscriptions AS text) WITH FUNCTION MINE.to_text(MINE.loud)",
                "CREATE FUNCTION MINE.spy(posthorn.deliveries) RETURNS text LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM MINE.spring(); RETURN 'x'; END $$",
                "CREATE CAST (posthorn.deliveries AS text) WITH FUNCTION MINE.spy(posthorn.deliveries) AS IMPLICIT",
                "CREATE TABLE MINE.child () INHERITS (posthorn.subscriptions)",
                "CREATE TABLE MINE.part PARTITION OF posthorn.events FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0000-0000-0000-000000000001')",
                "CREATE TRIGGER t AFTER INSERT ON posthorn.events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
                "CREATE RULE r AS ON INSERT TO posthorn.own_events DO ALSO SELECT MINE.spring()",
                "CREATE POLICY p ON posthorn.events USING (MINE.spring())",
                "CREATE TABLE MINE.refers (id uuid REFERENCES posthorn.subscriptions (id))",
                "SELECT posthorn.publish(row(1)::MINE.loud, 'k', 't', 's')",
                "SELECT posthorn.publish('acme'::MINE.heard, 'k', 't', 's', row(1)::MINE.loud)",
                "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
                 VALUES ('acme'::MINE.heard, 'k', 't', 's', row(1)::MINE.loud)",
                "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status, data)
                 VALUES ('acme'::MINE.heard, 'k', 't', 's', row(1)::MINE.loud)",
            ])
            .await;
    }
    let after: i64 = scene
        .database
        .value("SELECT count(*) FROM posthorn.config_history")
        .await;
    assert_eq!(after, history, "somebody wrote history");
}

/// Functions, operators, types and tables of the same names as those that Posthorn uses, found
/// first.
pub async fn shadowed_names(scene: &Scene) {
    for (part, _) in PARTS {
        let mut attacker = Attacker::new(scene, part).await;
        attacker
            .run(
                "DO $make$
                 DECLARE f record; o record; t text;
                 BEGIN
                     FOR f IN SELECT * FROM (VALUES
                         ('hashtextextended', 'text, bigint', 'bigint', '0'), ('octet_length', 'text', 'integer', '5'),
                         ('clock_timestamp', '', 'timestamptz', 'pg_catalog.now()'), ('now', '', 'timestamptz', 'pg_catalog.clock_timestamp()'),
                         ('gen_random_uuid', '', 'uuid', '''00000000-0000-0000-0000-000000000000'''),
                         ('to_hex', 'bigint', 'text', '''0'''), ('lpad', 'text, integer, text', 'text', '''0'''),
                         ('substr', 'text, integer', 'text', '''0'''), ('md5', 'text', 'text', '''0'''),
                         ('sha256', 'bytea', 'bytea', '''x'''), ('json_typeof', 'json', 'text', '''array'''),
                         ('unnest', 'text[]', 'text', '''x'''), ('current_setting', 'text, boolean', 'text', '''x'''),
                         ('pg_current_xact_id', '', 'xid8', '''3'''), ('date_part', 'text, timestamptz', 'double precision', '1')
                         ) AS v (name, arguments, result, value)
                     LOOP
                         EXECUTE pg_catalog.format('CREATE FUNCTION MINE.%I(%s) RETURNS %s LANGUAGE plpgsql AS
                             $f$BEGIN PERFORM MINE.spring(); RETURN %s; END$f$', f.name, f.arguments, f.result, f.value);
                     END LOOP;
                     FOR o IN SELECT * FROM (VALUES
                         ('=', 'text', 'text', 'boolean', 'true'), ('<>', 'text', 'text', 'boolean', 'false'), ('||', 'text', 'text', 'text', '''x'''),
                         ('&', 'bigint', 'bigint', 'bigint', '0'), ('%', 'bigint', 'bigint', 'bigint', '0'),
                         ('+', 'bigint', 'integer', 'bigint', '0'), ('>=', 'integer', 'integer', 'boolean', 'true'),
                         ('->>', 'json', 'text', 'text', '''x'''), ('=', 'uuid', 'uuid', 'boolean', 'true')
                         ) AS v (name, l, r, result, value)
                     LOOP
                         EXECUTE pg_catalog.format('CREATE FUNCTION MINE.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS
                             $f$BEGIN PERFORM MINE.spring(); RETURN %s; END$f$', 'o_' OPERATOR(pg_catalog.||) o.name, o.l, o.r, o.result, o.value);
                         EXECUTE pg_catalog.format('CREATE OPERATOR MINE.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = MINE.%I)',
                             o.name, o.l, o.r, 'o_' OPERATOR(pg_catalog.||) o.name);
                     END LOOP;
                     FOREACH t IN ARRAY ARRAY['text', 'uuid', 'json', 'timestamptz', 'bytea'] LOOP
                         EXECUTE pg_catalog.format('CREATE DOMAIN MINE.%I AS pg_catalog.%I CHECK (MINE.spring())', t, t);
                         EXECUTE pg_catalog.format('CREATE DOMAIN pg_temp.%I AS pg_catalog.%I CHECK (MINE.spring())', t, t);
                     END LOOP;
                     FOREACH t IN ARRAY ARRAY['events', 'subscriptions', 'deliveries', 'shards', 'sources', 'sessions',
                         'config_history', 'config_revision', 'grantees', 'replays', 'pg_inherits', 'pg_class', 'pg_index']
                     LOOP
                         EXECUTE pg_catalog.format('CREATE TEMPORARY TABLE %I (id uuid, name text, merchant text, day date, revision bigint)', t);
                         EXECUTE pg_catalog.format('CREATE TABLE MINE.%I (id uuid, name text, merchant text, day date, revision bigint)', t);
                     END LOOP;
                 END $make$",
            )
            .await;
        let path = "SET search_path = MINE, pg_temp, posthorn, pg_catalog; ";
        for call in [
            "SELECT posthorn.publish('acme', 'k', 't', 's')",
            "SELECT posthorn.publish('acme', 'k', 't', 's', '{}', '[{\"url\": \"https://a.example/\"}]')",
            "SELECT posthorn.subscribe_transaction('acme', 't', '{\"url\": \"https://a.example/\"}')",
            "SELECT posthorn.issue_session('acme', 't')",
            "SELECT posthorn.issue_device_session('acme', 't')",
            "INSERT INTO posthorn.events (merchant, kind, transaction_id, status) VALUES ('acme', 'k', 't', 's')",
            "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status) VALUES ('acme', 'k', 't', 's')",
            "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status) VALUES ('other', 'k', 't', 's')",
            "SELECT * FROM posthorn.preview_replay('acme')",
            "SELECT * FROM posthorn.preview_replay(since => '2020-01-01')",
            "SELECT posthorn.make_next_partition(9)",
            "SELECT posthorn.drop_partitions(1)",
            "SELECT posthorn.purge_step(1, NULL)",
            "SELECT posthorn.seal_step()",
            "SELECT posthorn.advance_replays()",
            "SELECT posthorn.drop_sessions()",
            "SELECT posthorn.drop_transaction_subscriptions(1)",
            "SELECT posthorn.settle_foreign_events()",
            "SELECT * FROM posthorn.delivery_status",
            "SELECT * FROM posthorn.status_unread, posthorn.status_shards, posthorn.status_subscriptions, posthorn.status_workers",
            "INSERT INTO posthorn.subscriptions (merchant, name, url) VALUES ('acme', 'x', 'https://a.example/')",
            "UPDATE posthorn.subscriptions SET paused = true",
            "INSERT INTO posthorn.locks (name, merchant, timeout) VALUES ('x', 'acme', '1s')",
            "DELETE FROM posthorn.locks",
        ] {
            attacker.tries(&format!("{path}{call}")).await;
        }
    }
    let misplaced: i64 = scene
        .database
        .value("SELECT count(*) FROM posthorn.events WHERE shard <> posthorn.shard_of(merchant)")
        .await;
    assert_eq!(misplaced, 0, "an event went to another shard");
    let published: i64 = scene
        .database
        .value("SELECT count(DISTINCT merchant) FROM posthorn.events WHERE merchant = 'other'")
        .await;
    assert_eq!(
        published, 0,
        "a publisher of acme published for another merchant"
    );
}

/// Ways out that a server has: none is a role's with a part alone.
pub async fn what_the_server_offers(scene: &Scene) {
    let owner = scene.owner;
    for (part, _) in PARTS {
        let mut attacker = Attacker::new(scene, part).await;
        for sql in [
            format!("SET ROLE {owner}"),
            format!("SET SESSION AUTHORIZATION {owner}"),
            format!("GRANT {owner} TO MINE"),
            "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION MINE.spring()".to_owned(),
            "COPY posthorn.grantees TO STDOUT".to_owned(),
            "COPY (SELECT key FROM posthorn.token_key) TO PROGRAM 'cat'".to_owned(),
            "COPY posthorn.workers FROM PROGRAM 'id'".to_owned(),
            "SELECT pg_read_file('postgresql.conf')".to_owned(),
            "SELECT lo_export(lo_from_bytea(0, 'x'), '/tmp/x')".to_owned(),
            "CREATE TABLE posthorn.mine ()".to_owned(),
            "CREATE FUNCTION posthorn.publish(text) RETURNS text LANGUAGE sql AS 'SELECT $1'".to_owned(),
            "CREATE OR REPLACE FUNCTION posthorn.shard_of(merchant text) RETURNS smallint LANGUAGE sql AS 'SELECT 1::smallint'".to_owned(),
            "ALTER FUNCTION posthorn.publish_own() SECURITY INVOKER".to_owned(),
            "ALTER TABLE posthorn.deliveries DISABLE TRIGGER append_only".to_owned(),
            "UPDATE posthorn.deliveries SET attempts = 9".to_owned(),
            "DELETE FROM posthorn.config_history".to_owned(),
            "INSERT INTO posthorn.config_history (kind, subject, revision) VALUES ('lock', 'x', 1)".to_owned(),
            "INSERT INTO posthorn.grantees (role_name, part) VALUES ('MINE', 'worker')".to_owned(),
            "SELECT posthorn.issue_token('acme', 'x')".to_owned(),
            "SELECT posthorn.replay('acme')".to_owned(),
            "INSERT INTO posthorn.own_events (publisher, merchant) VALUES ('owner', 'acme')".to_owned(),
            "INSERT INTO posthorn.attempts (event_id, subscription_id, number, started_at, duration_us, outcome, reason, recorded_at)
             VALUES (gen_random_uuid(), gen_random_uuid(), 1, now(), 1, 'dns', 'x', '2020-01-01')".to_owned(),
            "INSERT INTO posthorn.deliveries (event_id, subscription_id, attempts, state, finished_at)
             VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'delivered', '2020-01-01')".to_owned(),
            "UPDATE posthorn.shards SET checkpoint = '9999999:9999999:'".to_owned(),
            "UPDATE posthorn.shards SET checkpoint = '2:2:'".to_owned(),
            "UPDATE posthorn.shards SET epoch = -1".to_owned(),
            "UPDATE posthorn.shards SET epoch = 9223372036854775807".to_owned(),
            "UPDATE posthorn.shards SET owner = gen_random_uuid(), expires_at = 'infinity'".to_owned(),
            "UPDATE posthorn.config_revision SET revision = 9223372036854775807".to_owned(),
            "UPDATE posthorn.config_revision SET revision = 0".to_owned(),
        ] {
            attacker.may_not(&sql).await;
        }
        if part != "worker" && part != "gateway" {
            attacker.may_not("SELECT key FROM posthorn.token_key").await;
            attacker.may_not("SELECT data FROM posthorn.events").await;
        }
        if part != "worker" {
            attacker
                .may_not("SELECT ciphertext FROM posthorn.secrets")
                .await;
        }
        if part == "viewer" {
            attacker.may_not("SELECT body FROM posthorn.attempts").await;
            attacker.may_not("SELECT * FROM posthorn.attempts").await;
        }
    }
}
