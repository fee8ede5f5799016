//! A dump that a plain owner restores into another database has everything in it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::server::{Server, unbent};
use crate::support::{Database, posthorn};

/// Everything that a restore could lose, a line each, and whose it is. Without parentheses: a
/// condition that was written and read again has fewer of them.
const CATALOG: &str = "
    WITH found AS (
        SELECT 'function ' || pg_get_functiondef(p.oid) AS line, p.proowner AS owner,
               coalesce(p.proacl, acldefault('f', p.proowner)) AS acl, obj_description(p.oid, 'pg_proc') AS comment
          FROM pg_proc p WHERE p.pronamespace = 'posthorn'::regnamespace
        UNION ALL
        SELECT 'relation ' || c.oid::regclass || ' ' || c.relkind::text || ' ' || coalesce(c.reloptions::text, '')
               || CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) ELSE '' END, c.relowner,
               coalesce(c.relacl, acldefault('r', c.relowner)), obj_description(c.oid, 'pg_class')
          FROM pg_class c WHERE c.relnamespace = 'posthorn'::regnamespace
        UNION ALL
        SELECT 'column ' || c.oid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
               || a.attnotnull || a.attgenerated::text || coalesce(pg_get_expr(d.adbin, d.adrelid), ''), c.relowner,
               a.attacl, col_description(c.oid, a.attnum)
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'posthorn'::regnamespace AND c.relkind IN ('r', 'p', 'v')
           AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT 'trigger ' || pg_get_triggerdef(t.oid) || t.tgenabled::text, c.relowner, NULL, NULL
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         WHERE c.relnamespace::regnamespace::text IN ('posthorn', 'shop') AND NOT t.tgisinternal
        UNION ALL
        SELECT 'constraint ' || n.conrelid::regclass || ' ' || n.conname || ' ' || pg_get_constraintdef(n.oid),
               c.relowner, NULL, NULL
          FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
         WHERE n.connamespace = 'posthorn'::regnamespace
        UNION ALL
        SELECT 'index ' || pg_get_indexdef(i.indexrelid), c.relowner, NULL, obj_description(i.indexrelid, 'pg_class')
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE c.relnamespace = 'posthorn'::regnamespace
        UNION ALL
        SELECT 'schema ' || n.nspname, n.nspowner, n.nspacl, obj_description(n.oid, 'pg_namespace')
          FROM pg_namespace n WHERE n.nspname = 'posthorn'
    )
    SELECT array_agg(concat_ws(' ', translate(line, '()', ''), comment, owner = current_user::regrole, (
               SELECT string_agg(concat_ws(' ', CASE WHEN a.grantee = owner THEN 'the owner' ELSE a.grantee::regrole::text END,
                                           a.privilege_type, a.is_grantable), ', '
                                 ORDER BY a.grantee = owner, a.grantee::regrole::text, a.privilege_type)
                 FROM aclexplode(acl) a)) ORDER BY line COLLATE \"C\")
      FROM found";

pub async fn a_plain_owner_restores_all_of_it(server: &Server) {
    let Some(dumper) = dumper(server.major) else {
        println!(
            "SKIPPED: no pg_dump here is as new as PostgreSQL {}; its dump is not tried",
            server.major
        );
        return;
    };
    let original = Database::connect("installed", server.postgres.url("installed"));
    let before = catalog(&original).await;
    let kinds = ["function", "trigger", "constraint", "index", "relation"];
    for kind in kinds {
        let of_it = |line: &&String| line.starts_with(kind);
        assert!(before.iter().filter(of_it).count() > 10, "{kind}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    run(Command::new(dumper)
        .args(["--format=custom", "--schema=posthorn", "--schema=shop"])
        .arg("--file")
        .arg(file.path())
        .arg(&original.url));

    let same = server.empty("restored").await;
    restore(file.path(), &same, &[]);
    compare(server, &before, &catalog(&same).await);
    works(server, &same).await;

    // Another plain role, in a database of its own.
    server.role("heir").await;
    let inherited = server.empty("inherited").await;
    inherited
        .as_superuser("ALTER DATABASE inherited OWNER TO heir")
        .await;
    let inherited = Database::connect("inherited", inherited.url_of("heir"));
    restore(file.path(), &inherited, &["--no-owner"]);
    compare(server, &before, &catalog(&inherited).await);
    works(server, &inherited).await;
}

/// A `pg_dump` that knows servers of this version: it dumps those that are older than itself.
fn dumper(major: u32) -> Option<&'static str> {
    let said = Command::new("pg_dump").arg("--version").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let number = said.split_whitespace().nth(2)?.split('.').next()?;
    (number.parse::<u32>().ok()? >= major).then_some("pg_dump")
}

fn restore(file: &Path, into: &Database, options: &[&str]) {
    run(Command::new("pg_restore")
        .args(["--exit-on-error", "--dbname", &into.url])
        .args(options)
        .arg(file));
}

fn run(command: &mut Command) {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {said}");
    assert_eq!(said, "", "{command:?}");
}

async fn catalog(database: &Database) -> Vec<String> {
    unbent(database).value(CATALOG).await
}

fn compare(server: &Server, before: &[String], after: &[String]) {
    let lost: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(
        lost.is_empty() && new.is_empty(),
        "{}: lost {lost:#?}, new {new:#?}",
        server.major
    );
}

/// Declared rows, the triggers of secrets, publishing and the source do what they did.
async fn works(server: &Server, database: &Database) {
    let (status, said) = posthorn(&["migrate", "--database-url", &database.url]).await;
    assert!(status.success(), "{}: {said}", server.major);
    for url in ["https://a.example/", "https://b.example/"] {
        let rows = json!([{"name": "of a file", "managed_by": "file", "url": url}]);
        let changed: i64 = database
            .value(&format!(
                "SELECT posthorn.declare('posthorn.profiles', 'name', '{rows}')"
            ))
            .await;
        assert_eq!(changed, 1);
    }
    let by_hand = database
        .try_execute("DELETE FROM posthorn.profiles WHERE name = 'of a file'")
        .await;
    let refused = by_hand.unwrap_err().to_string();
    assert!(refused.contains("managed by a config file"), "{refused}");

    let revision = "SELECT max(revision) FROM posthorn.subscriptions WHERE merchant = 'acme'";
    let before: i64 = database.value(revision).await;
    database
        .execute(
            "INSERT INTO posthorn.secrets (merchant, name, key_id, nonce, ciphertext)
             VALUES ('acme', 'key', 'k1', decode(repeat('00', 12), 'hex'), decode(repeat('00', 17), 'hex'))",
        )
        .await;
    assert!(database.value::<i64>(revision).await > before);

    let events = "SELECT count(*) FROM posthorn.events";
    let before: i64 = database.value(events).await;
    database.publish("acme", "t9", "approved", "{}").await;
    database
        .execute("UPDATE shop.payments SET status = 'refunded'")
        .await;
    assert_eq!(database.value::<i64>(events).await, before + 2);
}
