//! What Posthorn's sessions rely on, and say themselves: a role, a database or a server may
//! have other defaults, set for the application beside it.

use std::sync::Arc;
use std::time::Duration;

/// Every session, those of `posthorn migrate` too.
///
/// - Posthorn names what it means, so nothing but PostgreSQL's own is looked up. A path that
///   was set for the database or the role, or a schema `public` in which everybody may create,
///   as it is until PostgreSQL 14, would let others put a function or an operator in its place.
/// - Statements read what is committed, and no more: at a stricter isolation the flow's reading
///   would make the application's own serializable transactions fail
///   (docs/decisions/0051-sessions-say-what-they-rely-on.md).
/// - Deadlines are the caller's, who knows what it waits for: an audit's transaction is idle
///   for as long as the audit takes.
/// - What a value's text looks like, and what a literal in a file means.
/// - Notices are for people, and errors come as errors.
pub const RELIED_ON: [(&str, &str); 20] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, MDY"),
    // As the settings' reader takes intervals out of JSON rows.
    ("intervalstyle", "iso_8601"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("row_security", "on"),
    ("client_min_messages", "error"),
    ("jit", "off"),
];

/// These keep every statement on its index. Posthorn's tables are empty one minute and hold
/// a million rows the next, and a cached plan that was right for the empty table (a
/// sequential scan) would be ruinous for the full one
/// (docs/decisions/0003-planner-settings.md).
const PLANNED_BY: [(&str, &str); 8] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_nestloop", "on"),
    ("enable_indexscan", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_partition_pruning", "on"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// How long a statement may take in the server: as long as it is waited for.
const STATEMENT: &str = "statement_timeout";

/// What a session is told when it begins.
pub(super) fn of_a_session(patience: Option<Duration>) -> Vec<(&'static str, String)> {
    let settings = RELIED_ON.into_iter().chain(PLANNED_BY);
    let mut settings: Vec<_> = settings
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    if let Some(patience) = patience {
        settings.push((STATEMENT, patience.as_millis().to_string()));
    }
    settings
}

pub(super) fn begin() -> Arc<str> {
    "BEGIN".into()
}

/// How a transaction begins by way of a pooler, whose next transaction has another session. Its
/// isolation cannot be set once it has begun; and whose `set_config` is meant has to be said
/// while the path is still another's.
pub(super) fn begin_through_a_pooler(patience: Option<Duration>) -> Arc<str> {
    let set = of_a_session(patience)
        .into_iter()
        .map(|(name, value)| format!("pg_catalog.set_config('{name}', '{value}', true)"));
    let set: Vec<String> = set.collect();
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE; SELECT {}",
        set.join(", ")
    )
    .into()
}

/// Settings that not every server knows. What is refused here is not needed there: a limit that
/// ends transactions, of PostgreSQL 17; and a look, on systems that have it, whether whoever
/// asked is still there, so that a statement that was given up ends.
pub(super) fn where_known(server: u32) -> &'static [&'static str] {
    const LOOKS: &str = "SET client_connection_check_interval = '2s'";
    if server >= 170_000 {
        &[LOOKS, "SET transaction_timeout = 0"]
    } else {
        &[LOOKS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poolers_transaction_brings_what_a_session_is_told() {
        let begins = begin_through_a_pooler(Some(Duration::from_secs(9)));
        for (name, value) in of_a_session(None) {
            let set = format!("pg_catalog.set_config('{name}', '{value}', true)");
            assert!(begins.contains(&set), "{set} is not in {begins}");
        }
        let last = "pg_catalog.set_config('statement_timeout', '9000', true)";
        assert!(begins.ends_with(last), "{begins}");
    }
}
