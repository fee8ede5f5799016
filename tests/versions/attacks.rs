//! What a role with one of Posthorn's parts, or with none, tries so as to do what only the
//! schema's owner can.
//!
//! Each attacker has a schema of its own with a *spring*: a function that counts the calls by
//! which it runs with the owner's rights. Whatever an attack ends with, no spring may have been
//! sprung. A sequence counts, for that no rollback takes back.

mod objects;
mod sources;

use posthorn::demo::postgres::{OWNER, SUPERUSER};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::server::Server;
use crate::support::{Database, posthorn};

/// Roles with a part, as `posthorn grant` is told, and one with none.
const PARTS: [(&str, &[&str]); 6] = [
    ("publisher", &["--publisher"]),
    ("restricted", &["--merchant", "acme", "--publisher"]),
    ("worker", &["--worker"]),
    ("gateway", &["--gateway"]),
    ("viewer", &["--viewer"]),
    ("nobody", &[]),
];

pub async fn nobody_becomes_the_owner(server: &Server) {
    for owner_is_superuser in [false, true] {
        let kind = if owner_is_superuser { "super" } else { "plain" };
        let scene = Scene::new(server, kind, owner_is_superuser).await;
        objects::temporary_objects_and_foreign_types(&scene).await;
        objects::shadowed_names(&scene).await;
        objects::what_the_server_offers(&scene).await;
        sources::types_of_the_application(&scene).await;
        sources::events_that_no_row_is_of(&scene).await;
        scene.nothing_was_sprung().await;
    }
}

/// A database with the schema, owned by a plain role or by a superuser, and its attackers.
pub struct Scene {
    /// As the schema's owner.
    pub database: Database,
    pub owner: &'static str,
    kind: &'static str,
    /// Knows the URLs of other roles.
    plain: Database,
}

impl Scene {
    async fn new(server: &Server, kind: &'static str, owner_is_superuser: bool) -> Self {
        let plain = server.empty(&format!("attacked_{kind}")).await;
        let owner = if owner_is_superuser { SUPERUSER } else { OWNER };
        let scene = Self {
            database: Database::connect(&plain.name, plain.url_of(owner)),
            owner,
            kind,
            plain,
        };
        scene.posthorn(&["migrate"]).await;
        for (part, grant) in PARTS {
            let role = scene.role(part);
            server.role(&role).await;
            // As generous as an administrator may be: everything but rights on Posthorn.
            scene
                .plain
                .as_superuser(&format!(
                    "GRANT CREATE, TEMPORARY ON DATABASE {} TO {role};
                     CREATE SCHEMA {role} AUTHORIZATION {role}",
                    scene.plain.name
                ))
                .await;
            if !grant.is_empty() {
                scene
                    .posthorn(&[&["grant"], grant, &[role.as_str()]].concat())
                    .await;
            }
            Attacker::new(&scene, part)
                .await
                .run(&format!(
                    "CREATE SEQUENCE {role}.sprung;
                     GRANT ALL ON SCHEMA {role} TO PUBLIC;
                     GRANT ALL ON SEQUENCE {role}.sprung TO PUBLIC;
                     CREATE FUNCTION {role}.spring() RETURNS boolean LANGUAGE plpgsql AS
                     $$ BEGIN
                            IF current_user = '{owner}' THEN PERFORM pg_catalog.nextval('{role}.sprung'); END IF;
                            RETURN true;
                        END $$"
                ))
                .await;
        }
        scene
    }

    pub fn role(&self, part: &str) -> String {
        format!("{part}_{}", self.kind)
    }

    pub async fn posthorn(&self, arguments: &[&str]) -> String {
        let all = [arguments, &["--database-url", &self.database.url]].concat();
        let (status, said) = posthorn(&all).await;
        assert!(status.success(), "{arguments:?}: {said}");
        said
    }

    async fn nothing_was_sprung(&self) {
        for (part, _) in PARTS {
            let role = self.role(part);
            let sprung: bool = self
                .database
                .value(&format!("SELECT is_called FROM {role}.sprung"))
                .await;
            assert!(!sprung, "a function of {role} ran with the owner's rights");
        }
    }
}

/// A session of a role.
pub struct Attacker {
    pub role: String,
    session: PgConnection,
}

impl Attacker {
    pub async fn new(scene: &Scene, part: &str) -> Self {
        let role = scene.role(part);
        let session = PgConnection::connect(&scene.plain.url_of(&role))
            .await
            .unwrap();
        Self { role, session }
    }

    /// Any number of statements, which have to work. `MINE` in them is the attacker's.
    pub async fn run(&mut self, sql: &str) {
        if let Some(refusal) = self.tries(sql).await {
            panic!("{} could not run {sql}: {refusal}", self.role);
        }
    }

    /// Statements of which each is tried by itself; returns how the last of them was refused.
    pub async fn tries_each(&mut self, statements: &[&str]) {
        for sql in statements {
            self.tries(sql).await;
        }
    }

    /// Returns the error's code and message, if there is one.
    pub async fn tries(&mut self, sql: &str) -> Option<String> {
        let sql = sql.replace("MINE", &self.role);
        let tried = self
            .session
            .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await;
        let refusal = tried.err().map(|error| match error.as_database_error() {
            Some(error) => format!("{} {error}", error.code().unwrap_or_default()),
            None => panic!("{}: {error}", self.role),
        });
        // What a failed transaction leaves.
        let _ = self
            .session
            .execute("ROLLBACK; RESET search_path; RESET ROLE")
            .await;
        refusal
    }

    /// Has to be refused for want of a right.
    pub async fn may_not(&mut self, sql: &str) {
        let refusal = self.tries(sql).await;
        assert!(
            refusal
                .as_ref()
                .is_some_and(|text| text.starts_with("42501")),
            "{}: {sql}: {refusal:?}",
            self.role
        );
    }
}
