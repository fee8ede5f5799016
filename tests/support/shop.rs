//! An application's tables beside Posthorn's, and sources made of them.

use std::process::ExitStatus;

use super::{Database, posthorn};

const PAYMENTS: &str = "CREATE TABLE shop.payments (
    id bigint PRIMARY KEY, merchant_id text, status text, amount numeric, note text)";

/// A database with the application's schema beside Posthorn's.
pub struct Shop {
    pub database: Database,
}

impl Shop {
    /// With the table `shop.payments`.
    pub async fn new() -> Self {
        Self::with(PAYMENTS).await
    }

    pub async fn with(tables: &str) -> Self {
        let database = Database::new().await;
        let shop = Self { database };
        shop.run("CREATE SCHEMA shop").await;
        shop.run(tables).await;
        shop
    }

    pub async fn run(&self, sql: &str) {
        self.database.execute(sql).await;
    }

    /// The error that the application gets: its message.
    pub async fn refused(&self, sql: &str) -> String {
        let error = self.database.try_execute(sql).await.unwrap_err();
        error.as_database_error().unwrap().message().to_owned()
    }

    /// Runs `posthorn source`, the arguments separated by blanks.
    pub async fn source(&self, arguments: &str) -> (ExitStatus, String) {
        self.source_with(arguments, &[]).await
    }

    /// The same with further arguments, which may have blanks in them.
    pub async fn source_with(&self, arguments: &str, more: &[&str]) -> (ExitStatus, String) {
        let mut all = vec!["source"];
        all.extend(arguments.split(' '));
        all.extend(more);
        all.extend(["--database-url", &self.database.url]);
        posthorn(&all).await
    }

    pub async fn attach(&self, table: &str, more: &[&str]) -> String {
        let (status, said) = self.try_attach(table, more).await;
        assert!(status.success(), "{said}");
        said
    }

    /// What `posthorn source attach` says when it refuses.
    pub async fn attach_refused(&self, table: &str, more: &[&str]) -> String {
        let (status, said) = self.try_attach(table, more).await;
        assert_eq!(status.code(), Some(1), "{more:?}: {said}");
        said
    }

    async fn try_attach(&self, table: &str, more: &[&str]) -> (ExitStatus, String) {
        let columns = format!("attach {table} --merchant merchant_id --id id --status status");
        self.source_with(&columns, more).await
    }

    /// The application's connection, whose role may publish and is not the owner's.
    pub async fn publisher(&self, role: &str) -> Database {
        self.database.grant("--publisher", role).await;
        Database::connect(&self.database.name, self.database.url_of(role))
    }

    /// A role of the application's that may publish and has this right on `shop.payments`, and
    /// its connection.
    pub async fn application(&self, right: &str) -> (String, Database) {
        let role = self.database.login("app").await;
        self.run(&format!(
            "GRANT USAGE ON SCHEMA shop TO {role}; GRANT {right} ON shop.payments TO {role}"
        ))
        .await;
        let application = self.publisher(&role).await;
        (role, application)
    }

    pub async fn list(&self) -> String {
        let (status, said) = self.source("list").await;
        assert!(status.success(), "{said}");
        said
    }

    /// The events since the last call, as merchant, kind, transaction and status.
    pub async fn told(&self) -> Vec<String> {
        self.database
            .value(
                "WITH told AS (DELETE FROM posthorn.events RETURNING *)
                 SELECT coalesce(array_agg(concat_ws(' ', merchant, kind, transaction_id, status) ORDER BY id), '{}')
                   FROM told",
            )
            .await
    }

    /// The data of the events since the last call.
    pub async fn data(&self) -> Vec<String> {
        self.database
            .value(
                "WITH told AS (DELETE FROM posthorn.events RETURNING *)
                 SELECT coalesce(array_agg(data::text ORDER BY id), '{}') FROM told",
            )
            .await
    }
}

pub const NOTHING: [&str; 0] = [];
