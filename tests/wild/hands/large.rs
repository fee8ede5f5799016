//! A provider's whole list of merchants in one file.

use std::fmt::Write as _;
use std::path::Path;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Database, PATIENCE, alone_among_the_heavy};

/// A few seconds of the processor are enough, which a machine under load is slow to give. A
/// check that compares each entry with every other takes an hour of it.
async fn posthorn(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posthorn"));
    let run = command.args(arguments).kill_on_drop(true).output();
    let output = timeout(PATIENCE * 8, run).await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_file_of_fifty_thousand_subscriptions_is_checked_in_seconds() {
    let _alone = alone_among_the_heavy().await;
    let directory = tempfile::tempdir().unwrap();
    let check = async |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        posthorn(&["config", "check", path.to_str().unwrap()]).await
    };
    let mut text = "[[profile]]\nname = 'p'\ntimeout = '10s'\n".to_owned();
    for number in 0..50_000 {
        subscription(&mut text, number, "p");
    }
    let (code, said) = check("subscriptions.toml", &text).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("50000 subscriptions"), "{said}");

    // Where each has a profile and a lock of its own.
    let mut text = String::new();
    for number in 0..15_000 {
        let _ = writeln!(text, "[[profile]]\nname = 'p{number}'\ntimeout = '10s'");
        let _ = writeln!(
            text,
            "[[lock]]\nname = 'l{number}'\nmerchant = 'm{number}'\nmax_in_flight = 3"
        );
        subscription(&mut text, number, &format!("p{number}"));
    }
    let (code, said) = check("each.toml", &text).await;
    assert_eq!(code, Some(0), "{said}");

    // And where each has something wrong with it, and a twin.
    let mut text = String::new();
    for number in 0..10_000 {
        subscription(&mut text, number / 2, "nix");
        text.push_str("timeout = 'long'\n");
    }
    let (code, said) = check("wrong.toml", &text).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("has 25000 problems"), "{}", &said[..200]);
    let last = format!("line {}, subscription.timeout", text.lines().count());
    assert!(said.contains(&last), "{last}");
}

#[tokio::test]
async fn and_planned_and_applied() {
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("posthorn.toml");
    let mut text = "owner = 'all'\n".to_owned();
    for number in 0..3_000 {
        subscription(&mut text, number, "idpay");
    }
    std::fs::write(&path, &text).unwrap();
    assert!(
        run("apply", &path, &database)
            .await
            .ends_with("3000 added\n")
    );
    assert!(
        run("plan", &path, &database)
            .await
            .starts_with("nothing to change")
    );
}

async fn run(command: &str, path: &Path, database: &Database) -> String {
    let path = path.to_str().unwrap();
    let (code, said) = posthorn(&["config", command, path, "--database-url", &database.url]).await;
    assert_eq!(code, Some(0), "{}", &said[..said.len().min(2_000)]);
    said
}

fn subscription(text: &mut String, number: u32, profile: &str) {
    let _ = writeln!(
        text,
        "[[subscription]]\nmerchant = 'm{number}'\nname = 'orders'\nprofile = '{profile}'\nurl = 'https://m{number}.example/hook'"
    );
}
