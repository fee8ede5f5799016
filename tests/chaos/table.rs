//! What each fault came to: printed, and at full length written into the docs.

use std::fmt::Write;
use std::time::Duration;

use crate::account::Account;
use crate::rig::is_full;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/RELIABILITY.md");
const BEGIN: &str = "<!-- chaos -->\n";
const END: &str = "<!-- /chaos -->";

/// A line of the table. `recovery` is the longest of all, by the fault's own measure.
pub fn report(fault: &str, account: &Account, recovery: Duration, measure: &str) {
    let Account {
        events,
        uncertain,
        requests,
        repeats,
        settled,
    } = account;
    let mut row = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        row,
        "| {fault} | {events} | {uncertain} | {requests} | 0 | {repeats} | {:.1} s {measure} |",
        recovery.as_secs_f64()
    );
    println!("{row}\nall had ended {settled:.1?} after the last fault");
    if is_full() {
        write_row(fault, &row);
    }
}

/// Puts the row into the place of an earlier one of the same fault.
fn write_row(fault: &str, row: &str) {
    let docs = std::fs::read_to_string(DOCS).unwrap();
    let (head, rest) = docs
        .split_once(BEGIN)
        .expect("the docs have a place for it");
    let (table, tail) = rest.split_once(END).expect("the place has an end");
    let mut lines: Vec<&str> = table.lines().collect();
    let name = |line: &str| line.split('|').nth(1).map(|cell| cell.trim().to_owned());
    let kind = |fault: &str| {
        fault
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .to_owned()
    };
    let same = |line: &str| name(line).is_some_and(|name| kind(&name) == kind(fault));
    match lines.iter().position(|line| same(line)) {
        Some(at) => lines[at] = row,
        None => lines.push(row),
    }
    let table = lines.join("\n");
    std::fs::write(DOCS, format!("{head}{BEGIN}{table}\n{END}{tail}")).unwrap();
}
