//! Databases in an encoding that cannot hold everything: one event stopped all merchants, and
//! `migrate` broke half-way.

use serde_json::json;

use crate::support::{Database, Worker, posthorn, receiver};

#[tokio::test]
async fn migrate_refuses_other_encodings_before_it_makes_anything() {
    let server = Database::new().await;
    for encoding in ["SQL_ASCII", "WIN1252", "LATIN1", "EUC_JP"] {
        let name = format!("in_{}", encoding.to_lowercase());
        server
            .as_superuser(&format!(
                "CREATE DATABASE {name} OWNER posthorn ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
            ))
            .await;
        let url = server.url.replace(&server.name, &name);
        let (status, said) = posthorn(&["migrate", "--database-url", &url]).await;
        assert!(!status.success(), "{encoding}: {said}");
        let expected = format!("the encoding of this database is {encoding}, ");
        assert!(said.contains(&expected), "{said}");
        assert!(
            said.contains("ENCODING 'UTF8' TEMPLATE template0"),
            "{said}"
        );
        let made: bool = Database::connect(&name, url)
            .value("SELECT to_regnamespace('posthorn') IS NOT NULL")
            .await;
        assert!(!made, "{encoding}");
    }
}

/// The application beside it has always spoken Latin-1 to this database.
#[tokio::test]
async fn what_clients_of_a_role_speak_by_default_changes_nothing() {
    let database = Database::new().await;
    database
        .as_superuser(&format!(
            "ALTER DATABASE {0} SET client_encoding = 'LATIN1';
             ALTER ROLE posthorn IN DATABASE {0} SET client_encoding = 'SQL_ASCII'",
            database.name
        ))
        .await;
    let receiver = receiver().await;
    receiver.on("/", "200,body=Zażółć 日本".parse().unwrap());
    let worker = Worker::start(&database, "").await;
    let url = receiver.url("/");
    database
        .subscribe("acme", "all", json!({ "url": url }))
        .await;
    let event = database
        .publish("acme", "t1", "approved", r#"{"name":"Żółw €"}"#)
        .await;
    database.reaches(event, "delivered").await;
    let body = receiver.requests()[0].body.clone();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains("Żółw €"), "{body}");
    assert!(!worker.log().contains("WARN"), "{}", worker.log());
}
