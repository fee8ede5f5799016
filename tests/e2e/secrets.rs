//! Credentials in the database, encrypted: from the command to the request, and what
//! happens when a key or a row is not as it should be.

use std::path::{Path, PathBuf};

use posthorn::receiver::Receiver;
use posthorn::store::secrets::put_secret;
use posthorn::vault::{Keyring, Place, Stored};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Setup, posthorn, posthorn_fed, receiver, until};

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
            assert!(put_secret(&self.database.pool, &row).await.unwrap());
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

#[tokio::test]
async fn secrets_are_encrypted_anew_while_a_worker_uses_them() {
    let vault = Vault::new().await;
    let receiver = receiver().await;
    vault.make_key("old").await;
    vault.make_key("new").await;
    vault.subscribe("acme", &receiver).await;
    vault.set("acme", "hook", &["old"], "user:pass").await;
    vault.fill("globex", "old", 250).await;
    let old_id = vault.key_ids().await.remove(0);
    let mut worker = vault.worker(&["old", "new"]).start().await;
    let revision = "SELECT revision FROM posthorn.config_revision";
    let before: i64 = vault.database.value(revision).await;
    let both = ["new", "old"];
    let (one, two) = tokio::join!(
        vault.run(&["rekey"], &both, ""),
        vault.run(&["rekey"], &both, "")
    );
    let done = |said: &str| -> u64 { said.split(' ').next().unwrap().parse().unwrap() };
    assert_eq!((one.0, two.0), (Some(0), Some(0)), "{} {}", one.1, two.1);
    assert_eq!(done(&one.1) + done(&two.1), 251, "{} {}", one.1, two.1);
    let again = vault.run(&["rekey"], &both, "").await;
    assert_eq!(done(&again.1), 0, "{}", again.1);
    assert_eq!(
        vault.database.value::<i64>(revision).await,
        before,
        "nothing changed for workers"
    );
    let [new_id] = &vault.key_ids().await[..] else {
        panic!("more than one key");
    };
    assert_ne!(*new_id, old_id);
    let event = vault.database.publish("acme", "t1", "approved", "{}").await;
    vault.database.reaches(event, "delivered").await;
    assert!(worker.sigterm().await.success());

    // The old key is not needed any more, and is not enough.
    let (status, said) = vault.worker(&["old"]).refused().await;
    assert!(!status.success());
    assert!(said.contains("secrets.keys"), "{said}");
    assert!(said.contains(&format!("{new_id} (251 secrets)")), "{said}");
    assert!(said.contains(&format!("given are: {old_id}")), "{said}");
    let _worker = vault.worker(&["new"]).start().await;
    let event = vault.database.publish("acme", "t2", "approved", "{}").await;
    vault.database.reaches(event, "delivered").await;
}

#[tokio::test]
async fn a_rekey_leaves_what_it_cannot_open_and_says_so() {
    let vault = Vault::new().await;
    for key in ["old", "new", "other"] {
        vault.make_key(key).await;
    }
    vault.set("acme", "fine", &["old"], "value").await;
    vault.set("acme", "foreign", &["other"], "value").await;
    vault.set("acme", "moved", &["old"], "value").await;
    vault
        .database
        .execute("UPDATE posthorn.secrets SET name = 'renamed' WHERE name = 'moved'")
        .await;
    let (code, said) = vault.run(&["rekey"], &["new", "old"], "").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("1 secrets encrypted anew\n"), "{said}");
    assert!(
        said.contains("left as it is: acme: secret:foreign is encrypted with key"),
        "{said}"
    );
    assert!(
        said.contains("left as it is: acme: secret:renamed does not open"),
        "{said}"
    );
    let (code, said) = vault.run(&["rekey"], &["new", "old", "other"], "").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("1 secrets encrypted anew\n"), "{said}");
}

#[tokio::test]
async fn a_worker_without_the_key_says_which_it_needs() {
    let vault = Vault::new().await;
    vault.make_key("key").await;
    vault.set("acme", "hook", &["key"], "value").await;
    let id = vault.key_ids().await.remove(0);
    let (status, said) = vault.worker(&[]).refused().await;
    assert!(!status.success());
    assert!(
        said.contains(&format!(
            "{id} (1 secrets); given are: none. Add the missing ones to secrets.keys"
        )),
        "{said}"
    );
    std::fs::write(vault.path("bad"), SECRET).unwrap();
    for (key, words) in [
        ("gone", "cannot be read"),
        ("bad", "not 32 bytes in base64"),
    ] {
        let (status, said) = vault.worker(&[key]).refused().await;
        assert!(!status.success());
        assert!(
            said.contains("secrets.keys: ") && said.contains(words),
            "{said}"
        );
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[tokio::test]
async fn a_row_that_was_tampered_with_loses_nothing() {
    let vault = Vault::new().await;
    let receiver = receiver().await;
    vault.make_key("key").await;
    for merchant in ["acme", "globex", "initech"] {
        vault.set(merchant, "hook", &["key"], "user:pass").await;
        vault.subscribe(merchant, &receiver).await;
    }
    // Each opens under the same key, but not in the other's place.
    vault
        .database
        .execute(
            "UPDATE posthorn.secrets s SET nonce = o.nonce, ciphertext = o.ciphertext
               FROM posthorn.secrets o
              WHERE (s.merchant, o.merchant) IN (('acme', 'globex'), ('globex', 'acme'))",
        )
        .await;
    let worker = vault.worker(&["key"]).start().await;
    let mut waiting = vec![];
    for merchant in ["acme", "globex", "initech"] {
        waiting.push(
            vault
                .database
                .publish(merchant, "t1", "approved", "{}")
                .await,
        );
    }
    vault.database.reaches(waiting[2], "delivered").await;
    for event in &waiting[..2] {
        vault.database.reaches(*event, "pending").await;
    }
    worker.logs("auth_secret: secret:hook does not open").await;
    assert_eq!(receiver.received(), 1);
    for (merchant, event) in [("acme", waiting[0]), ("globex", waiting[1])] {
        vault.set(merchant, "hook", &["key"], "user:again").await;
        vault.database.reaches(event, "delivered").await;
    }
}

#[tokio::test]
async fn a_secret_that_is_named_stays() {
    let vault = Vault::new().await;
    let receiver = receiver().await;
    vault.make_key("key").await;
    vault.subscribe("acme", &receiver).await;
    for merchant in ["acme", "globex"] {
        vault.set(merchant, "hook", &["key"], "user:pass").await;
    }
    let (code, said) = vault.run(&["remove", "acme", "hook"], &[], "").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("secret:hook of acme is named by the subscriptions hook"),
        "{said}"
    );
    vault
        .database
        .execute(
            "INSERT INTO posthorn.profiles (name, auth, auth_secret) VALUES ('p', 'basic', 'secret:hook');
             UPDATE posthorn.subscriptions SET auth = NULL, auth_secret = NULL, profile = 'p'",
        )
        .await;
    let (_, said) = vault.run(&["remove", "acme", "hook"], &[], "").await;
    assert!(
        said.contains("is named by the subscriptions hook"),
        "{said}"
    );
    // The other merchant's has the same name, and no subscription.
    let (code, said) = vault.run(&["remove", "globex", "hook"], &[], "").await;
    assert_eq!(code, Some(0), "{said}");
    let (_, listed) = vault.run(&["list"], &[], "").await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(
        listed.contains("acme") && !listed.contains("globex"),
        "{listed}"
    );
    assert!(listed.contains(&vault.key_ids().await[0]), "{listed}");
    let (code, said) = vault.run(&["remove", "globex", "hook"], &[], "").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("globex has no secret hook"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_set_says_why() {
    let vault = Vault::new().await;
    vault.make_key("key").await;
    let path = vault.path("value");
    std::fs::write(&path, "").unwrap();
    let file = path.display().to_string();
    for (arguments, keys, input, words) in [
        (
            &["set", "acme", "two words"][..],
            &["key"][..],
            "x",
            "the name is not one",
        ),
        (&["set", "", "hook"], &["key"], "x", "the merchant is empty"),
        (&["set", "acme", "hook"], &["key"], "", "is empty"),
        (
            &["set", "acme", "hook", "--file", &file],
            &["key"],
            "",
            "is empty",
        ),
        (&["set", "acme", "hook"], &["gone"], "x", "cannot be read"),
        (
            &["set", "acme", "hook"],
            &[],
            "x",
            "POSTHORN_KEY is not set",
        ),
        (&["rekey"], &[], "", "POSTHORN_KEY is not set"),
    ] {
        let (code, said) = vault.run(arguments, keys, input).await;
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let (code, said) = vault
        .run(
            &["set", "acme", "hook", &format!("--key={SECRET}")],
            &[],
            "x",
        )
        .await;
    assert_eq!(code, Some(1));
    assert!(said.contains("give env:NAME or file:PATH"), "{said}");
}

/// The rows of every table that hold a text, as it stands or in a bytea.
async fn rows_with(database: &Database, text: &str) -> Vec<String> {
    let tables: Vec<String> = database
        .value(
            "SELECT array_agg(oid::regclass::text) FROM pg_class
              WHERE relnamespace = 'posthorn'::regnamespace AND relkind IN ('r', 'p')",
        )
        .await;
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found = vec![];
    for table in tables {
        let sql = format!(
            "SELECT t::text FROM {table} t WHERE t::text LIKE ANY (ARRAY['%{text}%', '%{hex}%'])"
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&database.pool)
            .await
            .unwrap();
        found.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    found
}

fn write_key(path: &Path, key: &str) -> String {
    std::fs::write(path, key).unwrap();
    format!("file:{}", path.display())
}

#[tokio::test]
async fn no_secret_shows_in_a_log_a_metric_an_error_or_a_table() {
    let vault = Vault::new().await;
    let receiver = receiver().await;
    vault.make_key("key").await;
    let key = std::fs::read_to_string(vault.path("key")).unwrap();
    let key_in_config = write_key(&vault.path("copy"), &key);
    let client = format!("client:{SECRET}");
    for (name, value) in [
        ("basic", format!("user:{SECRET}")),
        ("key", format!("X-Key:{SECRET}")),
        ("client", client),
        // Neither a certificate nor a PKCS#12 file: the refusal must not quote it.
        ("junk", SECRET.to_owned()),
        ("password", SECRET.to_owned()),
    ] {
        vault.set("acme", name, &["key"], &value).await;
    }
    let denied = r#"401,body={"error":"invalid_client"}"#;
    receiver.on("/denied", denied.parse().unwrap());
    receiver.on("/refusing", "401".parse().unwrap());
    let url = receiver.url("/fine");
    for (name, settings) in [
        (
            "basic",
            json!({"url": url, "auth": "basic", "auth_secret": "secret:basic"}),
        ),
        (
            "key",
            json!({"url": receiver.url("/refusing"), "auth": "api_key",
            "auth_secret": "secret:key", "auth_secret_previous": "secret:basic"}),
        ),
        (
            "oauth2",
            json!({"url": url, "auth": "oauth2", "auth_secret": "secret:client",
            "oauth2_token_url": receiver.url("/denied")}),
        ),
        (
            "no colon",
            json!({"url": url, "auth": "basic", "auth_secret": "secret:junk"}),
        ),
        (
            "pem",
            json!({"url": "https://127.0.0.1:1/", "client_cert": "secret:junk", "client_key": "secret:junk"}),
        ),
        (
            "pkcs12",
            json!({"url": "https://127.0.0.1:1/", "client_pkcs12": "secret:junk",
            "client_pkcs12_password": "secret:password"}),
        ),
    ] {
        let mut settings = settings;
        settings["max_attempts"] = 2.into();
        settings["retry"] = "fixed".into();
        settings["retry_interval"] = "50ms".into();
        vault.database.subscribe("acme", name, settings).await;
    }
    let mut worker = Setup::new(&vault.database)
        .env("RUST_LOG", "trace")
        .toml(&format!("[secrets]\nkeys = ['{key_in_config}']"))
        .start()
        .await;
    let event = vault.database.publish("acme", "t1", "approved", "{}").await;
    for (name, state) in [
        ("basic", "delivered"),
        ("key", "posting_error"),
        ("oauth2", "posting_error"),
        ("no colon", "pending"),
        ("pem", "pending"),
        ("pkcs12", "pending"),
    ] {
        until(PATIENCE, &format!("{name} {state}"), async || {
            let found = vault.database.deliveries(event).await;
            found
                .iter()
                .any(|d| d.subscription == name && d.state == state)
                .then_some(())
        })
        .await;
    }
    let metrics = worker.metrics().await;
    assert!(worker.sigterm().await.success());
    let log = worker.log();
    assert!(
        log.contains("does not open") || log.contains("is not PKCS#12"),
        "{log}"
    );
    for text in [&metrics, &log] {
        for hidden in [SECRET, key.trim(), "dXNlcjp2YXVsd", "Y2xpZW50OnZhdWx0"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    assert_eq!(rows_with(&vault.database, SECRET).await, [""; 0]);
    assert_eq!(rows_with(&vault.database, key.trim()).await, [""; 0]);
    // The look itself would find it.
    assert_ne!(rows_with(&vault.database, "secret:junk").await, [""; 0]);
}
