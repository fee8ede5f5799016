//! What the commands tell, and on which schema they work.

use serde_json::{Value, json};

use crate::support::{Database, posthorn};

async fn command(database: &Database, words: &[&str]) -> (Option<i32>, String) {
    let mut arguments = words.to_vec();
    arguments.extend(["--database-url", &database.url]);
    let (status, said) = posthorn(&arguments).await;
    (status.code(), said)
}

async fn says(database: &Database, words: &[&str]) -> String {
    let (code, said) = command(database, words).await;
    assert_eq!(code, Some(0), "{said}");
    said
}

#[tokio::test]
async fn migrate_says_what_it_did() {
    let database = Database::empty().await;
    let said = says(&database, &["migrate", "--shards", "16"]).await;
    let count: i64 = database
        .value("SELECT count(*) FROM posthorn.migrations")
        .await;
    let sum = format!("the schema is up to date: {count} migrations, 16 shards\n");
    assert_eq!(said, format!("made the schema\n{sum}"));
    let said = says(&database, &["migrate"]).await;
    assert_eq!(said, format!("nothing was missing\n{sum}"));

    let role = database.login("worker").await;
    says(&database, &["grant", "--worker", &role]).await;
    let said = says(&database, &["migrate"]).await;
    assert_eq!(
        said,
        format!("nothing was missing\n1 role has the rights of its parts in this version\n{sum}")
    );
}

/// A role was dropped, and months later somebody else got its name: and with the next
/// `posthorn migrate`, or any grant, its part.
#[tokio::test]
async fn a_part_is_the_role_s_and_not_its_name_s() {
    let database = Database::new().await;
    let [leaver, joiner] = ["leaver", "joiner"].map(|name| format!("{name}_{}", database.name));
    let make = format!("CREATE ROLE {leaver} LOGIN");
    let may_read =
        format!("SELECT has_table_privilege('{leaver}', 'posthorn.deliveries', 'SELECT')");
    let dropped = format!("DROP OWNED BY {leaver}; DROP ROLE {leaver}");
    for again in ["migrate", "grant"] {
        database.as_superuser(&make).await;
        says(&database, &["grant", "--viewer", &leaver]).await;
        assert!(database.value::<bool>(&may_read).await);
        database.as_superuser(&dropped).await;
        database.as_superuser(&make).await;
        let said = match again {
            "migrate" => says(&database, &["migrate"]).await,
            _ => says(&database, &["grant", "--publisher", &leaver]).await,
        };
        assert!(!database.value::<bool>(&may_read).await, "{again}: {said}");
        if again == "migrate" {
            let fate = format!("the role {leaver} was dropped, and is a viewer no more\n");
            assert!(said.contains(&fate), "{said}");
        }
        database.as_superuser(&dropped).await;
    }

    // One that is renamed takes its part along, and its old name is free.
    database.as_superuser(&make).await;
    says(&database, &["grant", "--viewer", &leaver]).await;
    database
        .as_superuser(&format!(
            "ALTER ROLE {leaver} RENAME TO {joiner}; CREATE ROLE {leaver} LOGIN"
        ))
        .await;
    let said = says(&database, &["migrate"]).await;
    let fate = format!("the role {leaver} is called {joiner} by now, and is a viewer still\n");
    assert!(said.contains(&fate), "{said}");
    assert!(!database.value::<bool>(&may_read).await, "{said}");
    let names = "SELECT string_agg(role_name, ' ') FROM posthorn.grantees WHERE part = 'viewer'";
    assert_eq!(database.value::<String>(names).await, joiner);

    // In another server, as after a restore of a dump, the names say who it is.
    database
        .execute("UPDATE posthorn.grantees SET server = 1, role_oid = 1")
        .await;
    let said = says(&database, &["migrate"]).await;
    assert!(said.contains("1 role has the rights"), "{said}");
}

#[tokio::test]
async fn tokens_are_listed_without_their_text() {
    let database = Database::new().await;
    assert!(
        says(&database, &["token", "list"])
            .await
            .contains("there are no tokens")
    );
    let issue = async |merchant: &str, name: &str, more: &[&str]| {
        let mut words = vec!["token", "issue", "--merchant", merchant, "--name", name];
        words.extend(more);
        says(&database, &words).await.trim().to_owned()
    };
    let token = issue("acme", "warehouse", &[]).await;
    issue("acme", "old", &["--lifetime", "1s"]).await;
    issue(
        "acme\nglobex  forged  valid",
        "till",
        &["--lifetime", "90days"],
    )
    .await;
    says(
        &database,
        &[
            "token",
            "revoke",
            "--merchant",
            "acme",
            "--name",
            "warehouse",
        ],
    )
    .await;
    database
        .execute(
            "UPDATE posthorn.api_tokens SET expires_at = now() - interval '1 s' WHERE name = 'old'",
        )
        .await;
    let said = says(&database, &["token", "list"]).await;
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 4, "{said}");
    assert_eq!(rows[0], ["MERCHANT", "NAME", "STATE", "ISSUED", "EXPIRES"]);
    assert_eq!(rows[1][..3], ["acme", "old", "expired"]);
    assert_eq!(
        (&rows[2][..3], rows[2][4]),
        (&["acme", "warehouse", "revoked"][..], "never")
    );
    assert!(!said.contains(&token), "{said}");
    let said = says(
        &database,
        &["token", "list", "--merchant", "acme", "--json"],
    )
    .await;
    let states: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone())
        .collect();
    assert_eq!(states, ["expired", "revoked"]);
}

#[tokio::test]
async fn commands_refuse_a_schema_that_they_do_not_know() {
    let database = Database::new().await;
    let known: i64 = database
        .value("SELECT max(version) FROM posthorn.migrations")
        .await;
    let commands: [&[&str]; 5] = [
        &["status"],
        &["deliveries", "--merchant", "acme"],
        &["replay", "--merchant", "acme", "--preview"],
        &["config", "export"],
        &["audit", "--since", "1h"],
    ];
    database
        .subscribe("acme", "a", json!({"url": "https://a.example/"}))
        .await;
    // One step away is the moment between `migrate` and the last new binary.
    for (newest, remedy) in [
        (known - 2, Some("run `posthorn migrate`")),
        (known - 1, None),
        (known, None),
        (known + 1, None),
        (known + 2, Some("upgrade posthorn")),
    ] {
        database
            .execute(&format!(
                "DELETE FROM posthorn.migrations WHERE version > {newest};
                 INSERT INTO posthorn.migrations (version, description, success, checksum, execution_time)
                 SELECT v, 'x', true, '', 0 FROM generate_series({known} + 1, {newest}) v ON CONFLICT DO NOTHING;
                 INSERT INTO posthorn.migrations (version, description, success, checksum, execution_time)
                 SELECT v, 'x', true, '', 0 FROM generate_series({known} - 1, least({known}, {newest})) v ON CONFLICT DO NOTHING"
            ))
            .await;
        for words in commands {
            let (code, said) = command(&database, words).await;
            match remedy {
                None => assert_eq!(code, Some(0), "{newest} {words:?}: {said}"),
                Some(remedy) => {
                    assert_eq!(code, Some(1), "{newest} {words:?}: {said}");
                    let numbers = format!("it has migration {newest}, and this version {known}");
                    assert!(said.contains(&numbers) && said.contains(remedy), "{said}");
                }
            }
        }
    }
    let empty = Database::empty().await;
    let (code, said) = command(&empty, &["status"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("run `posthorn migrate` first"), "{said}");
}
