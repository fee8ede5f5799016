//! What is written in the place of an entry that the database refuses: what is refused is left
//! out, and the rest of it stands.

use crate::flow::entry::{Attempt, Change, Entry};
use crate::model::State;

const CANNOT_WAIT: &str =
    "the database refuses to keep it for another attempt; see the worker's log";

/// Less and less of the entry: without what the receiver said, without the attempt's row, and at
/// last as a delivery that cannot go on. What was received stays delivered in all of them; of
/// what was not tried there is nothing less.
pub fn lesser(entry: &Entry) -> Vec<Entry> {
    let as_it_is = versions(entry, &entry.change).into_iter().skip(1);
    let ended = cannot_go_on(&entry.change);
    let ended = ended.map(|change| versions(entry, &change));
    as_it_is.chain(ended.into_iter().flatten()).collect()
}

/// The entry with this change: whole, without the receiver's text, without the attempt.
fn versions(entry: &Entry, change: &Change) -> Vec<Entry> {
    let version = |change: Change, attempt: Option<Attempt>| Entry {
        change,
        attempt,
        ..entry.clone()
    };
    let whole = version(change.clone(), entry.attempt.clone());
    let Some(attempt) = &entry.attempt else {
        return vec![whole];
    };
    let (change, attempt) = without_text(change.clone(), attempt.clone());
    vec![
        whole,
        version(change.clone(), Some(attempt)),
        version(change, None),
    ]
}

fn without_text(mut change: Change, mut attempt: Attempt) -> (Change, Attempt) {
    let status = attempt.http_status.map(|status| format!("{status}; "));
    let instead = format!(
        "{}the database refuses the receiver's text",
        status.unwrap_or_default()
    );
    match &mut change {
        Change::Finish { reason, .. } => {
            if let Some(reason) = reason {
                reason.clone_from(&instead);
            }
        }
        Change::Retry { reason, .. } => reason.clone_from(&instead),
        Change::Spill | Change::SupersedeOlder { .. } => {}
    }
    attempt.body = None;
    attempt.reason = instead;
    (change, attempt)
}

/// How a delivery ends whose next state is refused; none where that would deny what happened.
fn cannot_go_on(change: &Change) -> Option<Change> {
    let (attempts, reason, had_row) = match change {
        Change::Retry { attempts, .. } => (*attempts, CANNOT_WAIT.to_owned(), true),
        Change::Finish {
            state: state @ (State::Superseded | State::Cancelled),
            attempts,
            had_row,
            ..
        } => {
            let reason = format!("{state}; the database refuses to record it as that");
            (*attempts, reason, *had_row)
        }
        Change::Finish { .. } | Change::Spill | Change::SupersedeOlder { .. } => return None,
    };
    Some(Change::Finish {
        state: State::PostingError,
        attempts,
        reason: Some(reason),
        had_row,
    })
}
