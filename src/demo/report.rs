//! What the demo says before and after: plain text.

use std::fs;
use std::path::Path;

use super::account::Account;
use super::stage::Stage;

/// How many lines of the worker's log, and faults, are shown if something is wrong.
const SHOWN: usize = 20;

pub fn where_to_look(stage: &Stage) -> String {
    let Stage {
        database,
        metrics,
        config_file,
        log_file,
        ..
    } = stage;
    format!(
        "\
Posthorn delivers here from a private PostgreSQL to endpoints of this process. Retries and
probes wait for seconds here, where minutes and hours would be right; lender/credit is out
of order at first and again now and then, arcade/old-till for good.

  deliveries  psql {database} -c 'SELECT merchant, subscription, transaction_id, status, state, attempts, reason FROM posthorn.delivery_status ORDER BY created_at DESC LIMIT 10'
  metrics     curl http://{metrics}/metrics
  config      {}
  log         {}

published: deliveries that an endpoint has to get; under way: in the worker's memory;
waiting: in posthorn.pending_deliveries; p50 and p99: from commit to first arrival.
Ctrl-C ends the demo and leaves nothing behind.
",
        config_file.display(),
        log_file.display()
    )
}

pub fn end_of_log(path: &Path) -> String {
    let log = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    format!("the end of the worker's log:\n{last}")
}

pub fn summary(account: &Account, events: usize) -> String {
    let Account {
        expected,
        delivered,
        posting_errors,
        waiting,
        faults,
    } = account;
    let became = format!(
        "\n{events} events committed, {expected} deliveries: {delivered} delivered, \
         {posting_errors} posting errors, {waiting} wait in the database.\n"
    );
    if account.is_complete() {
        return became + "Every one is accounted for: none missing, none twice.";
    }
    let listed = faults
        .iter()
        .take(SHOWN)
        .map(|fault| format!("\n  {fault}"));
    format!(
        "{became}NOT accounted for: {}{}",
        faults.len(),
        listed.collect::<String>()
    )
}
