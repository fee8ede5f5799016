//! Who may install it, and into what.

use posthorn::demo::postgres::SUPERUSER;

use crate::support::{Database, posthorn};

async fn migrate(url: &str) -> (Option<i32>, String) {
    let (status, said) = posthorn(&["migrate", "--database-url", url]).await;
    (status.code(), said)
}

/// What `migrate` says when it refuses; it has then made nothing.
async fn refused(database: &Database, url: &str) -> String {
    let (code, said) = migrate(url).await;
    assert_eq!(code, Some(1), "{said}");
    let made: bool = database
        .value("SELECT to_regclass('posthorn.events') IS NOT NULL")
        .await;
    assert!(!made, "{said}");
    said
}

#[tokio::test]
async fn a_superuser_is_warned_and_a_plain_owner_is_not() {
    let database = Database::empty().await;
    let (code, said) = migrate(&database.url_of(SUPERUSER)).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("warning:").count(), 1, "{said}");
    assert!(
        said.contains("the role postgres is a superuser") && said.contains("ALTER DATABASE"),
        "{said}"
    );
    let database = Database::empty().await;
    let (code, said) = migrate(&database.url).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning:"), "{said}");
    // Not even a superuser makes something in it that its owner does not own.
    let (code, said) = migrate(&database.url_of(SUPERUSER)).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("belongs to the role posthorn") && said.contains("connect as posthorn"),
        "{said}"
    );
}

#[tokio::test]
async fn a_schema_that_somebody_else_has_made_is_refused() {
    let database = Database::empty().await;
    let somebody = format!("somebody_{}", database.name);
    database
        .as_superuser(&format!(
            "CREATE ROLE {somebody} LOGIN; GRANT CREATE ON DATABASE {0} TO {somebody};
             SET ROLE {somebody}; CREATE SCHEMA posthorn; GRANT ALL ON SCHEMA posthorn TO PUBLIC",
            database.name
        ))
        .await;
    let said = refused(&database, &database.url).await;
    let expected = format!(
        "the schema posthorn belongs to the role {somebody}, and this is posthorn; connect as {somebody}"
    );
    assert!(said.contains(&expected), "{said}");
    assert!(
        said.contains("ALTER SCHEMA posthorn OWNER TO posthorn"),
        "{said}"
    );

    database
        .as_superuser("ALTER SCHEMA posthorn OWNER TO posthorn")
        .await;
    let said = refused(&database, &database.url).await;
    assert!(
        said.contains("PUBLIC may create in the schema posthorn")
            && said.contains("REVOKE CREATE ON SCHEMA posthorn FROM PUBLIC"),
        "{said}"
    );
    database
        .execute(&format!(
            "REVOKE CREATE ON SCHEMA posthorn FROM PUBLIC; GRANT CREATE ON SCHEMA posthorn TO {somebody}"
        ))
        .await;
    let said = refused(&database, &database.url).await;
    let expected = format!("REVOKE CREATE ON SCHEMA posthorn FROM {somebody}");
    assert!(said.contains(&expected), "{said}");

    // What was put there meanwhile would be called.
    database
        .as_superuser(&format!(
            "SET ROLE {somebody}; CREATE FUNCTION posthorn.uuid_v7(int) RETURNS uuid LANGUAGE sql RETURN gen_random_uuid()"
        ))
        .await;
    database
        .execute(&format!("REVOKE CREATE ON SCHEMA posthorn FROM {somebody}"))
        .await;
    let said = refused(&database, &database.url).await;
    let expected = format!("posthorn.uuid_v7 belongs to the role {somebody}");
    assert!(said.contains(&expected), "{said}");
    database
        .as_superuser("DROP FUNCTION posthorn.uuid_v7(int)")
        .await;
    let (code, said) = migrate(&database.url).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn the_owner_of_a_schema_needs_no_right_to_make_others() {
    let database = Database::empty().await;
    let owner = format!("owner_{}", database.name);
    database
        .as_superuser(&format!(
            "CREATE ROLE {owner} LOGIN; CREATE SCHEMA posthorn AUTHORIZATION {owner}"
        ))
        .await;
    let (code, said) = migrate(&database.url_of(&owner)).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_schema_of_other_files_is_refused_with_the_remedy() {
    // A file that is another one by now, and one that is no more.
    for change in [
        "UPDATE posthorn.migrations SET checksum = '\\x00' WHERE version = 5",
        "UPDATE posthorn.migrations SET version = 0 WHERE version = 5",
    ] {
        let database = Database::new().await;
        database.execute(change).await;
        let (code, said) = migrate(&database.url).await;
        assert_eq!(code, Some(1), "{said}");
        for part in [
            "made before Posthorn's first release",
            "Move out of it what is needed",
            "DROP SCHEMA posthorn CASCADE, and run `posthorn migrate` anew",
        ] {
            assert!(said.contains(part), "{said}");
        }
        database.execute("DROP SCHEMA posthorn CASCADE").await;
        let (code, said) = migrate(&database.url).await;
        assert_eq!(code, Some(0), "{said}");
    }
    let newer = Database::from_the_future().await;
    let (code, said) = migrate(&newer.url).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a newer Posthorn made this schema"), "{said}");
}
