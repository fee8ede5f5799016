//! Each of `examples/` does what it says: the payment's status and the event commit together,
//! or neither does.

use std::fs::File;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::application;
use crate::support::interpreters::{Language, interpreter, root};
use crate::support::{Database, PATIENCE, Worker, receiver};

#[tokio::test]
async fn from_rust_with_sqlx() {
    publishes_what_it_commits(|| built("publish")).await;
}

#[tokio::test]
async fn from_rust_with_the_crate() {
    publishes_what_it_commits(|| built("approve")).await;
}

#[tokio::test]
async fn from_python_with_psycopg() {
    publishes_what_it_commits(|| {
        let mut python = interpreter(Language::Python);
        python.arg(root().join("examples/python/publish.py"));
        python
    })
    .await;
}

/// A module looks for its packages where it stands; one that is read from standard input, where
/// it is started.
#[tokio::test]
async fn from_node_with_pg() {
    publishes_what_it_commits(|| {
        let mut node = interpreter(Language::JavaScript);
        node.current_dir(root().join("target/tools/node"))
            .args(["--input-type=module", "-"])
            .stdin(File::open(root().join("examples/node/publish.mjs")).unwrap());
        node
    })
    .await;
}

/// An example that cargo has built beside the tests.
fn built(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples")
        .join(name);
    assert!(
        path.exists(),
        "{} is not there: `cargo test --workspace` without a choice of binaries builds it, and so does `cargo build --workspace --examples`",
        path.display()
    );
    Command::new(path)
}

async fn publishes_what_it_commits(example: impl Fn() -> Command) {
    let database = Database::new().await;
    let application = application(&database, &[]).await;
    let receiver = receiver().await;
    let fields = json!([
        { "name": "id", "source": "transaction_id" },
        { "name": "status", "source": "status" },
        { "name": "amount", "source": "/amount" },
    ]);
    let settings = json!({ "url": receiver.url("/hook"), "fields": fields });
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;

    // The event cannot be published: the payment stays as it was.
    let role = format!("app_{}", database.name);
    let (revoke, grant) = (
        "REVOKE USAGE ON SCHEMA posthorn FROM",
        "GRANT USAGE ON SCHEMA posthorn TO",
    );
    database.execute(&format!("{revoke} {role}")).await;
    let denied = "permission denied for schema posthorn";
    fails_with(denied, example(), &application).await;
    database.execute(&format!("{grant} {role}")).await;
    // The application's own rules refuse the payment at the commit: no event is there.
    database
        .execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
             CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON public.payments DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .await;
    fails_with("not today", example(), &application).await;
    database
        .execute("DROP TRIGGER refuse ON public.payments")
        .await;
    assert_eq!(status(&database).await, "created");

    let published = run(example(), &application).await;
    assert!(published.status.success(), "{published:?}");
    receiver.wait_for(1, PATIENCE).await.unwrap();
    let request = receiver.requests().remove(0);
    let told: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(told["id"], "T-1");
    assert_eq!(told["status"], "approved");
    assert_eq!(told["amount"], "12.50");
    assert_eq!(status(&database).await, "approved");
    let events: i64 = database.value("SELECT count(*) FROM posthorn.events").await;
    assert_eq!(events, 1, "what did not commit is no event");
}

async fn run(mut example: Command, application: &Database) -> Output {
    example
        .arg("T-1")
        .env("DATABASE_URL", &application.url)
        .output()
        .await
        .unwrap()
}

async fn fails_with(expected: &str, example: Command, application: &Database) {
    let refused = run(example, application).await;
    assert!(!refused.status.success(), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(expected), "{said}");
}

async fn status(database: &Database) -> String {
    database.value("SELECT status FROM public.payments").await
}
