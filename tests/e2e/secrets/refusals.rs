//! Rows that do not open, secrets that are named, values that cannot be set.

use super::{SECRET, Vault};
use crate::support::receiver;

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
