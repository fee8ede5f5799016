//! The rights that the schema and its roles have are those that SECURITY.md says, and no
//! function of the schema can be led astray by names.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Database, posthorn};

const SECURITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md");

/// What every role but the owner holds in the schema: `object | role | right`.
const HELD: &str = r#"
    WITH held AS (
        SELECT 1 AS kind, 'schema posthorn' AS object, a.grantee, a.privilege_type AS "right", NULL AS "column", 0 AS place,
               n.nspowner AS owner
          FROM pg_namespace n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'posthorn'
        UNION ALL
        SELECT 2, regexp_replace(c.relname::text, '_(\d{8}|default)$', ', a day'), a.grantee, a.privilege_type, NULL, 0, c.relowner
          FROM pg_class c, aclexplode(c.relacl) AS a WHERE c.relnamespace = 'posthorn'::regnamespace
        UNION ALL
        SELECT 2, regexp_replace(c.relname::text, '_(\d{8}|default)$', ', a day'), a.grantee, a.privilege_type, t.attname::text, t.attnum, c.relowner
          FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
         WHERE c.relnamespace = 'posthorn'::regnamespace
        UNION ALL
        -- A function without a list of its own may be executed by everybody.
        SELECT 3, p.proname || '()', a.grantee, a.privilege_type, NULL, 0, p.proowner
          FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
         WHERE p.pronamespace = 'posthorn'::regnamespace
    ), whole AS (
        SELECT kind, object, grantee, "right",
               "right" || coalesce(' (' || string_agg("column", ', ' ORDER BY place) FILTER (WHERE "column" IS NOT NULL) || ')', '') AS text
          FROM (SELECT DISTINCT * FROM held) AS held WHERE grantee <> owner
         GROUP BY kind, object, grantee, "right")
    SELECT coalesce(array_agg(line ORDER BY kind, object, who), '{}') FROM (
        SELECT kind, object, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE regexp_replace(grantee::regrole::text, '_test_\d+$', '') END AS who,
               object || ' | ' || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE regexp_replace(grantee::regrole::text, '_test_\d+$', '') END
                      || ' | ' || string_agg(text, ', ' ORDER BY "right") AS line
          FROM whole GROUP BY kind, object, grantee) AS lines"#;

/// The roles of the table, and how each is granted.
const ROLES: [(&str, &[&str]); 5] = [
    ("publisher", &["--publisher"]),
    ("publisher_of", &["--merchant", "acme", "--publisher"]),
    ("worker", &["--worker"]),
    ("gateway", &["--gateway"]),
    ("viewer", &["--viewer"]),
];

/// A table that can be a source.
const SHOP: &str = "CREATE SCHEMA shop;
    CREATE TABLE shop.payments (id int PRIMARY KEY, merchant text, status text)";

#[tokio::test]
async fn every_role_has_the_rights_that_the_documentation_says_and_no_other() {
    let database = Database::new().await;
    // With a source, which makes a function and triggers.
    database.execute(SHOP).await;
    attach(&database, &[]).await;
    let none: Vec<String> = database.value(HELD).await;
    assert_eq!(
        none,
        Vec::<String>::new(),
        "before anybody was granted a part"
    );
    for (name, grant) in ROLES {
        let role = database.login(name).await;
        run(&database, &[&["grant"], grant, &[role.as_str()]].concat()).await;
    }
    let held: Vec<String> = database.value(HELD).await;
    let documented = std::fs::read_to_string(SECURITY).unwrap();
    let documented: Vec<String> = documented
        .lines()
        .filter(|line| line.contains("` | `"))
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.replace('`', ""))
        .collect();
    let wanted: Vec<String> = held
        .iter()
        .map(|line| match line.splitn(3, " | ").collect::<Vec<_>>()[..] {
            [object, role, rights] => format!("| `{object}` | `{role}` | {rights} |"),
            _ => panic!("{line}"),
        })
        .collect();
    assert_eq!(
        documented,
        held,
        "SECURITY.md would have to say:\n{}",
        wanted.join("\n")
    );

    // A migration gives them again, and takes what an administrator's defaults gave away.
    run(&database, &["migrate"]).await;
    assert_eq!(database.value::<Vec<String>>(HELD).await, held);
}

#[tokio::test]
async fn what_the_owners_default_privileges_give_away_is_taken_back() {
    let database = Database::empty().await;
    let reader = format!("reader_{}", database.name);
    database
        .as_superuser(&format!("CREATE ROLE {reader} LOGIN"))
        .await;
    database
        .execute(&format!(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {reader};
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
             ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO {reader};
             ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {reader}"
        ))
        .await;
    run(&database, &["migrate"]).await;
    database
        .execute("SELECT posthorn.make_partitions(20)")
        .await;
    let held: Vec<String> = database.value(HELD).await;
    database
        .execute(&format!(
            "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM {reader}, PUBLIC;
                           ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM {reader};
                           ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM {reader}"
        ))
        .await;
    assert_eq!(held, Vec::<String>::new());
}

#[tokio::test]
async fn a_role_that_could_be_the_owner_is_given_no_part() {
    let database = Database::new().await;
    let member = format!("member_{}", database.name);
    database
        .as_superuser(&format!(
            "CREATE ROLE {member} LOGIN; GRANT posthorn TO {member}"
        ))
        .await;
    for role in [member.as_str(), "posthorn", "postgres"] {
        let arguments = [
            "grant",
            "--publisher",
            role,
            "--database-url",
            &database.url,
        ];
        let (status, said) = posthorn(&arguments).await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("who owns the schema posthorn"), "{said}");
    }
}

#[tokio::test]
async fn no_function_of_the_schema_depends_on_a_search_path() {
    let database = Database::new().await;
    database.execute(SHOP).await;
    for failure in ["block", "record"] {
        let name = format!("--name={failure}");
        attach(&database, &[&name, "--on-failure", failure]).await;
    }
    let unpinned: Vec<String> = database
        .value(
            "SELECT coalesce(array_agg(proname::text ORDER BY proname), '{}') FROM pg_proc
              WHERE pronamespace = 'posthorn'::regnamespace
                AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
                -- A body that PostgreSQL has read already has no names in it any more; with the
                -- owner's rights a path is wanted all the same, for what it calls.
                AND (prosecdef OR prosqlbody IS NULL)",
        )
        .await;
    assert_eq!(unpinned, Vec::<String>::new());
    let sources: i64 = database
        .value(
            "SELECT count(*) FROM pg_proc
              WHERE pronamespace = 'posthorn'::regnamespace AND prosecdef AND starts_with(proname, 'source_')
                AND prorettype = 'trigger'::regtype",
        )
        .await;
    assert_eq!(
        sources, 0,
        "a source's own function runs with the owner's rights"
    );
    let loose: Vec<String> = database
        .value(
            "SELECT coalesce(array_agg(p.proname::text), '{}') FROM pg_proc p
              WHERE p.pronamespace = 'posthorn'::regnamespace AND p.prosecdef
                AND p.prorettype = 'trigger'::regtype AND p.prosrc NOT LIKE '%TG_RELID%'",
        )
        .await;
    assert_eq!(
        loose,
        Vec::<String>::new(),
        "these do not look where they stand"
    );

    let functions: Value = database
        .value(
            "SELECT json_build_object(
                 'functions', (SELECT json_agg(json_build_object(
                        'name', p.proname, 'language', l.lanname, 'pinned', p.proconfig IS NOT NULL,
                        'definition', CASE l.lanname WHEN 'plpgsql' THEN pg_get_functiondef(p.oid) ELSE p.prosrc END))
                   FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                  WHERE p.pronamespace = 'posthorn'::regnamespace AND p.prosqlbody IS NULL),
                 'own', json_build_object(
                    'function', (SELECT json_agg(DISTINCT proname) FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace),
                    'type', (SELECT json_agg(typname) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace),
                    'relation', (SELECT jsonb_agg(relname) || '[\"new\", \"old\"]'
                                   FROM (SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace) AS c)))",
        )
        .await;
    assert_eq!(findings(&functions), "");

    // It would find one.
    let planted = json!({"own": functions["own"], "functions": [{"name": "planted", "language": "plpgsql", "pinned": false,
        "definition": "CREATE FUNCTION posthorn.planted(a int) RETURNS int LANGUAGE plpgsql AS $function$
            DECLARE r events;
            BEGIN
                SELECT * INTO r FROM subscriptions WHERE helper(a) = 1;
                EXECUTE format('DROP TABLE %I', 'x');
                RETURN a::loud + 1;
            END $function$"}]});
    assert_eq!(
        findings(&planted).lines().collect::<Vec<_>>(),
        [
            "planted: function helper",
            "planted: operator +",
            "planted: operator =",
            "planted: relation something",
            "planted: relation subscriptions",
            "planted: type events",
            "planted: type loud",
        ]
    );
}

/// What a table computes by itself runs with the rights of whoever writes to it: it may call
/// what PostgreSQL brings, and of ours what a writer of that table has a right to.
#[tokio::test]
async fn what_tables_compute_calls_nothing_that_a_writer_may_not() {
    let database = Database::new().await;
    // PostgreSQL notes no dependency on what it brings.
    let called: Vec<String> = database
        .value(
            "SELECT array_agg(line ORDER BY line) FROM (
                 SELECT DISTINCT format('%s of %s calls %s', d.classid::regclass, coalesce(t.relname, v.relname, k.relname),
                                        (SELECT format('%s.%s', p.pronamespace::regnamespace, p.proname) FROM pg_proc p WHERE p.oid = d.refobjid)) AS line
                   FROM pg_depend d
                   LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
                   LEFT JOIN pg_class t ON t.oid = a.adrelid
                   LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
                   LEFT JOIN pg_class v ON v.oid = r.ev_class
                   LEFT JOIN pg_constraint c ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
                   LEFT JOIN pg_class k ON k.oid = c.conrelid
                  WHERE d.refclassid = 'pg_proc'::regclass AND d.deptype = 'n'
                    AND d.classid NOT IN ('pg_proc'::regclass, 'pg_trigger'::regclass)
                    AND 'posthorn'::regnamespace IN (t.relnamespace, v.relnamespace, k.relnamespace)) AS lines",
        )
        .await;
    assert_eq!(
        called,
        [
            "pg_attrdef of replays calls posthorn.uuid_v7",
            "pg_attrdef of secrets calls posthorn.uuid_v7",
            "pg_attrdef of source_failures calls posthorn.uuid_v7",
            "pg_attrdef of subscriptions calls posthorn.uuid_v7",
            "pg_attrdef of transaction_subscriptions calls posthorn.uuid_v7",
            "pg_rewrite of delivery_status calls posthorn.last_attempt",
            "pg_rewrite of status_shards calls posthorn.cluster",
            "pg_rewrite of status_subscriptions calls posthorn.uuid_time",
            "pg_rewrite of status_unread calls posthorn.cluster",
            "pg_rewrite of status_unread calls posthorn.unread_since",
        ]
    );
    let foreign: Vec<String> = database
        .value(
            "SELECT coalesce(array_agg(t.tgname::text), '{}')
               FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
              WHERE c.relnamespace = 'posthorn'::regnamespace AND NOT t.tgisinternal
                AND (p.pronamespace <> c.relnamespace OR p.proowner <> c.relowner)",
        )
        .await;
    assert_eq!(
        foreign,
        Vec::<String>::new(),
        "triggers that call what is not the owner's"
    );
}

/// What a parser of PostgreSQL's own grammar says of functions.
fn findings(functions: &Value) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let installed = Command::new(format!("{root}/.ci/python")).output().unwrap();
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    let mut parser = Command::new(format!("{root}/target/tools/python/bin/python"))
        .arg(format!("{root}/tests/e2e/rights/names.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = parser.stdin.take().unwrap();
    stdin.write_all(functions.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn attach(database: &Database, options: &[&str]) {
    let columns = ["--merchant=merchant", "--id=id", "--status=status"];
    let attach = ["source", "attach", "shop.payments"];
    run(database, &[&attach[..], &columns, options].concat()).await;
}

async fn run(database: &Database, arguments: &[&str]) {
    let (status, said) = posthorn(&[arguments, &["--database-url", &database.url]].concat()).await;
    assert!(status.success(), "{arguments:?}: {said}");
}
