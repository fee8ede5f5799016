//! A panic shows nothing of what was worked on, whoever panics.

use std::panic::{catch_unwind, set_hook, take_hook};
use std::sync::Mutex;

use posthorn::cli::panics::said;

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

const CANARY: &str = "canary-4111111111111111";

/// Quotes what it cannot read.
#[derive(Debug)]
struct Number;

impl std::str::FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Err(format!("{text} is no number"))
    }
}

#[test]
fn a_panic_tells_its_place_and_texts_of_the_code_only() {
    let before = take_hook();
    set_hook(Box::new(|panic| SAID.lock().unwrap().push(said(panic))));
    // As `unwrap` does with what a parser says.
    let parsed = catch_unwind(|| CANARY.parse::<Number>().unwrap());
    let formatted = catch_unwind(|| panic!("cannot work with {CANARY}"));
    let constant = catch_unwind(|| panic!("the shard is unknown"));
    set_hook(before);

    assert!(parsed.is_err() && formatted.is_err() && constant.is_err());
    let said = SAID.lock().unwrap().clone();
    assert_eq!(said.len(), 3, "{said:?}");
    for line in &said {
        assert!(
            line.contains("panics.rs:") && !line.contains(CANARY),
            "{line}"
        );
    }
    assert!(said[2].ends_with(": the shard is unknown"), "{said:?}");
}
