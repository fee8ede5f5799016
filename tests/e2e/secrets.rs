//! Credentials in the database, encrypted: from the command to the request, and what
//! happens when a key or a row is not as it should be.

mod canary;
mod keys;
mod refusals;

use std::path::PathBuf;

use posthorn::receiver::Receiver;
use posthorn::store::secrets::put_secret;
use posthorn::vault::{Keyring, Place, Stored};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{Database, Setup, posthorn, posthorn_fed, receiver};

const SECRET: &str = "vault-canary-4be2";

/// A database, and key files for its secrets.
struct Vault {
    database: Database,
    directory: TempDir,
}

impl Vault {
    async fn new() -> Self {
        Self {
            database: Database::new().await,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.path().join(key)
    }

    /// Makes a key with the command, and keeps it in a file of this name.
    async fn make_key(&self, name: &str) {
        let (status, said) = posthorn(&["secrets", "new-key"]).await;
        assert!(status.success(), "{said}");
        assert_eq!(said.len(), 45, "32 bytes in base64 and a line end");
        std::fs::write(self.path(name), said).unwrap();
    }

    /// Runs `posthorn secrets …` with these keys; the outcome and what it said.
    async fn run(&self, arguments: &[&str], keys: &[&str], input: &str) -> (Option<i32>, String) {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("--key=file:{}", self.path(key).display()))
            .collect();
        let mut all = vec!["secrets"];
        all.extend(arguments);
        all.extend(["--database-url", &self.database.url]);
        all.extend(keys.iter().map(String::as_str));
        let (status, said) = posthorn_fed(&all, input).await;
        assert!(!said.contains(SECRET), "{said}");
        (status.code(), said)
    }

    async fn set(&self, merchant: &str, name: &str, keys: &[&str], value: &str) {
        let (code, said) = self.run(&["set", merchant, name], keys, value).await;
        assert_eq!(code, Some(0), "{said}");
    }

    /// Enough for several batches.
    async fn fill(&self, merchant: &str, key: &str, secrets: u32) {
        let mut keyring = Keyring::default();
        let key = std::fs::read(self.path(key)).unwrap();
        keyring.add(&key.into()).unwrap();
        for number in 0..secrets {
            let (id, name) = (Uuid::now_v7(), format!("other-{number}"));
            let place = Place {
                id,
                merchant,
                name: &name,
            };
            let value = SECRET.as_bytes().to_vec().into();
            let sealed = keyring.seal(place, &value, [7; 12]).unwrap();
            let merchant = merchant.to_owned();
            let row = Stored {
                id,
                merchant,
                name,
                sealed,
            };
            assert!(
                put_secret(&self.database.pool.clone().into(), &row)
                    .await
                    .unwrap()
            );
        }
    }

    fn worker(&self, keys: &[&str]) -> Setup {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("'file:{}'", self.path(key).display()))
            .collect();
        Setup::new(&self.database)
            .env("RUST_LOG", "warn,posthorn=trace")
            .toml(&format!("[secrets]\nkeys = [{}]", keys.join(", ")))
    }

    async fn subscribe(&self, merchant: &str, receiver: &Receiver) {
        let settings = json!({"url": receiver.url(&format!("/{merchant}")), "auth": "basic", "auth_secret": "secret:hook"});
        self.database.subscribe(merchant, "hook", settings).await;
    }

    /// The key's id, as the list shows it.
    async fn key_ids(&self) -> Vec<String> {
        self.database
            .value("SELECT coalesce(array_agg(DISTINCT key_id), '{}') FROM posthorn.secrets")
            .await
    }
}

fn last_authorization(receiver: &Receiver, path: &str) -> String {
    let requests = receiver.requests();
    let last = requests
        .iter()
        .rfind(|request| request.path_and_query == path);
    last.unwrap().headers["authorization"]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_stored_secret_is_used_by_its_merchant_alone_and_changed_while_workers_run() {
    let vault = Vault::new().await;
    let receiver = receiver().await;
    vault.make_key("key").await;
    vault.set("acme", "hook", &["key"], "user:first\n").await;
    vault.subscribe("acme", &receiver).await;
    // The same name, and no such secret of its own.
    vault.subscribe("globex", &receiver).await;
    let worker = vault.worker(&["key"]).start().await;
    let event = vault.database.publish("acme", "t1", "approved", "{}").await;
    let others = vault
        .database
        .publish("globex", "t1", "approved", "{}")
        .await;
    vault.database.reaches(event, "delivered").await;
    // user:first
    assert_eq!(
        last_authorization(&receiver, "/acme"),
        "Basic dXNlcjpmaXJzdA=="
    );
    vault.database.reaches(others, "pending").await;
    worker
        .logs("auth_secret: posthorn.secrets has no hook of this merchant")
        .await;

    vault.set("acme", "hook", &["key"], "user:second").await;
    let event = vault.database.publish("acme", "t2", "approved", "{}").await;
    vault.database.reaches(event, "delivered").await;
    // user:second
    assert_eq!(
        last_authorization(&receiver, "/acme"),
        "Basic dXNlcjpzZWNvbmQ="
    );

    vault.set("globex", "hook", &["key"], "user:globex").await;
    vault.database.reaches(others, "delivered").await;
}
