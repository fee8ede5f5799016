//! How many locks of relations a worker's sessions take outside the fast path.
//!
//! A session has sixteen places for locks of its own; further ones are in the table that all
//! sessions share. PostgreSQL counts neither. How many a statement holds is sampled while it runs,
//! and the most that was seen counts; how often each statement ran is in the server's log. A drain
//! of its own is looked at so, since looking and logging cost the database something.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use super::drained::drain;
use super::measured::Setting;
use crate::support::past::Past;
use crate::support::stand::Stand;

/// Between two samples.
const LOOK: Duration = Duration::from_millis(3);

/// Before each entry of the server's log.
const MARK: &str = "@@@ ";

/// Bytes of a statement that `pg_stat_activity` has: all, since the days that it names may stand far
/// behind, and with and without them it is another one.
const WHOLE: &str = "32kB";

/// From the worker's start on, and without the parameters.
const LOG: &str = "
ALTER DATABASE bench SET log_min_duration_statement = 0;
ALTER DATABASE bench SET log_parameter_max_length = 0";

/// The statements that run, and what they hold. The list of sessions is read first.
const HELD: &str = "
SELECT a.pid, a.query_start, a.query, l.held
  FROM pg_stat_activity a
 CROSS JOIN LATERAL (SELECT count(*) AS held FROM pg_locks l
                      WHERE l.pid = a.pid AND l.locktype = 'relation' AND NOT l.fastpath) AS l
 WHERE a.datname = 'bench' AND a.state = 'active'";

/// Sessions and the statements that they are at.
const RUNNING: &str = "
SELECT pid, query_start FROM pg_stat_activity WHERE datname = 'bench' AND state = 'active'";

/// The most locks that each statement was seen to hold.
type Held = HashMap<String, i64>;

/// Of 1,000 deliveries.
pub async fn measure(setting: &Setting, events: usize, past: Past) -> anyhow::Result<f64> {
    let settings = Stand::settings()
        .with("logging_collector", "on")
        .with("track_activity_query_size", WHOLE)
        .with("log_line_prefix", MARK);
    let stand = Stand::with(settings, past).await?;
    let receiver = setting.receiver().await?;
    let url = format!("{}/hook/", receiver.url);
    setting.publish(&stand, &url, events).await?;
    sqlx::raw_sql(LOG).execute(&stand.server).await?;
    let mut held = Held::new();
    let drained = drain(&stand, receiver.process.pid()?, events, 0.0);
    tokio::pin!(drained);
    loop {
        tokio::select! {
            drained = &mut drained => {
                drained?;
                break;
            }
            () = sleep(LOOK) => look(&stand, &mut held).await?,
        }
    }
    receiver.stop().await?;
    let log: String = sqlx::query_scalar("SELECT pg_read_file(pg_current_logfile())")
        .fetch_one(&stand.server)
        .await?;
    let taken = log.split(MARK).filter_map(statement);
    let taken: i64 = taken.filter_map(|it| held.get(&it)).sum();
    Ok(taken as f64 * 1000.0 / events as f64)
}

/// What counts is who is at the same statement before and after the look at the locks.
async fn look(stand: &Stand, most: &mut Held) -> anyhow::Result<()> {
    type Session = (i32, DateTime<Utc>);
    let held: Vec<(i32, DateTime<Utc>, String, i64)> =
        sqlx::query_as(HELD).fetch_all(&stand.server).await?;
    let running: Vec<Session> = sqlx::query_as(RUNNING).fetch_all(&stand.server).await?;
    for (pid, since, query, held) in held {
        if running.contains(&(pid, since)) {
            let seen = most.entry(told_by(&query)).or_default();
            *seen = held.max(*seen);
        }
    }
    Ok(())
}

/// The statement that an entry of the log says was executed.
fn statement(entry: &str) -> Option<String> {
    let (_, said) = entry.split_once(" ms  ")?;
    let (_, text) = said.strip_prefix("execute ")?.split_once(": ")?;
    Some(told_by(text))
}

fn told_by(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    words.join(" ")
}
