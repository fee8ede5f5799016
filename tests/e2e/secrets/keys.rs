//! Keys that are replaced, missing or wrong.

use super::{SECRET, Vault};
use crate::support::receiver;

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
async fn a_rekey_does_not_count_what_the_database_has_not_changed() {
    let vault = Vault::new().await;
    vault.make_key("old").await;
    vault.make_key("new").await;
    vault.set("acme", "fine", &["old"], "value").await;
    let old_id = vault.key_ids().await;
    vault
        .database
        .execute(
            "CREATE FUNCTION posthorn.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER swallow BEFORE UPDATE ON posthorn.secrets FOR EACH ROW EXECUTE FUNCTION posthorn.swallow()",
        )
        .await;
    let (code, said) = vault.run(&["rekey"], &["new", "old"], "").await;
    assert_eq!(code, Some(1), "{said}");
    let expected = "of 1 secrets that were to change, the database changed 0";
    assert!(said.contains(expected), "{said}");
    assert_eq!(vault.key_ids().await, old_id);
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
