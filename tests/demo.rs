//! The demo accounts for every event and leaves nothing behind.

use std::path::Path;
use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_posthorn"))
        .arg("demo")
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn it_ends_by_itself_with_every_event_accounted_for() {
    let output = demo(&["--for", "4s"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("Every one is accounted for: none missing, none twice."),
        "{said}"
    );
    for endpoint in ["clinic/payments", "lender/credit", "arcade/old-till"] {
        assert!(said.contains(endpoint), "{said}");
    }
    let log = said.lines().find_map(|line| line.strip_prefix("  log"));
    let directory = Path::new(log.expect("it says where its log is").trim()).parent();
    assert!(!directory.unwrap().exists(), "{said}");
}

#[test]
fn a_time_that_it_cannot_play_for_is_refused() {
    let output = demo(&["--for", "soon"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("such as 20s"), "{said}");
}
