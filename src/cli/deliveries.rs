//! `posthorn deliveries`: did the merchant get it, and when?

use std::io::{self, Write};

use anyhow::{anyhow, bail};
use serde::Serialize;
use uuid::Uuid;

use super::database::{DatabaseArgs, open, refusal};
use super::json::lines;
use super::moment::{Moment, shown};
use super::table::Table;
use crate::model::{DeliveryKey, OutcomeClass, State};
use crate::store::Pool;
use crate::store::deliveries::{
    Found, Named, Search, SearchFailed, Wanted, find_deliveries, find_labelled,
};
use crate::store::shards::cluster_and_time;

/// Lists deliveries, newest events first: who was to get what, what became of it, and when.
/// What a worker has only in its memory, for two seconds at most as a rule, is not there yet.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of this merchant
    #[arg(long)]
    pub merchant: Option<String>,

    /// To this subscription: its name or its id
    #[arg(long, value_name = "NAME|UUID")]
    pub subscription: Option<String>,

    /// Of this transaction
    #[arg(long, value_name = "ID")]
    pub transaction: Option<String>,

    /// Of this event
    #[arg(long, value_name = "UUID")]
    pub event: Option<Uuid>,

    /// In this state, or what a profile calls it; may be given several times
    #[arg(long, value_name = "STATE")]
    pub state: Vec<String>,

    /// Whose last attempt was answered with this HTTP status, or one of a range
    #[arg(long, value_name = "STATUS|FROM-TO", value_parser = statuses)]
    pub http_status: Option<(i16, i16)>,

    /// Whose last attempt came to this: ok, status, `body_rule`, dns, connect, tls, timeout,
    /// protocol, refused or token
    #[arg(long, value_name = "CLASS", value_parser = outcome)]
    pub outcome: Option<OutcomeClass>,

    /// Of events inserted since then: a time, a day (UTC) or an age such as 2h
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,

    /// Of events inserted before then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,

    /// How many at most, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,

    /// The next page: the cursor that the last one ended with
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    pub after: Option<DeliveryKey>,

    /// One JSON object a line, each with its cursor
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let json = args.json;
    let pool = open(&args.database.clone().url()?, 1).await?;
    let found = find(&pool, args).await;
    pool.close().await;
    let (found, limit) = found?;
    let said = if json {
        lines(found.iter().map(|found| Line {
            found,
            cursor: as_cursor(found.key()),
        }))?
    } else {
        table(&found, limit)
    };
    Ok(io::stdout().write_all(said.as_bytes())?)
}

async fn find(pool: &Pool, args: Args) -> anyhow::Result<(Vec<Found>, i64)> {
    let (_, now) = cluster_and_time(pool)
        .await
        .map_err(|error| refusal(&error))?;
    let mut wanted = Vec::new();
    for text in &args.state {
        wanted.extend(find_state(pool, text).await?);
    }
    let search = Search {
        merchant: args.merchant,
        subscription: args.subscription.map(|text| match text.parse() {
            Ok(id) => Named::Id(id),
            Err(_) => Named::Name(text),
        }),
        transaction_id: args.transaction,
        event_id: args.event,
        states: (!wanted.is_empty()).then_some(wanted),
        http_status: args.http_status,
        outcome: args.outcome,
        since: args.since.map(|moment| moment.before(now)),
        until: args.until.map(|moment| moment.before(now)),
        after: args.after,
        limit: args.limit,
    };
    if let (Some(since), Some(until)) = (search.since, search.until)
        && since >= until
    {
        bail!("--since is not before --until; nothing can lie between them");
    }
    match find_deliveries(pool, &search).await {
        Ok(found) => Ok((found, search.limit)),
        Err(SearchFailed::Store(error)) => Err(refusal(&error)),
        Err(error) => Err(error.into()),
    }
}

/// Finds the state of that name, or those that some profile calls so.
async fn find_state(pool: &Pool, text: &str) -> anyhow::Result<Vec<Wanted>> {
    let named = |name: &str| State::ALL.into_iter().find(|state| state.as_str() == name);
    if let Some(state) = named(text) {
        return Ok(vec![Wanted { state, label: None }]);
    }
    let labelled = find_labelled(pool, text)
        .await
        .map_err(|error| refusal(&error))?;
    let wanted = labelled.iter().filter_map(|name| named(name));
    let wanted: Vec<Wanted> = wanted
        .map(|state| Wanted {
            state,
            label: Some(text.to_owned()),
        })
        .collect();
    if wanted.is_empty() {
        let all = State::ALL.map(State::as_str).join(", ");
        return Err(anyhow!(
            "--state {text:?} is no state and no profile's label of one; give one of {all}"
        ));
    }
    Ok(wanted)
}

fn statuses(text: &str) -> Result<(i16, i16), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) if (100..=999).contains(&low) && (low..=999).contains(&high) => {
            Ok((low, high))
        }
        _ => Err("give a status such as 503, or a range such as 500-599".to_owned()),
    }
}

fn outcome(text: &str) -> Result<OutcomeClass, String> {
    let found = OutcomeClass::ALL.into_iter().find(|it| it.as_str() == text);
    found.ok_or_else(|| {
        let names = OutcomeClass::ALL.map(OutcomeClass::as_str);
        format!("give one of {}", names.join(", "))
    })
}

fn cursor(text: &str) -> Result<DeliveryKey, String> {
    let parts: Vec<&str> = text.split('.').collect();
    let key = match parts[..] {
        [event, subscription, generation] => (|| {
            Some(DeliveryKey {
                event_id: event.parse().ok()?,
                subscription_id: subscription.parse().ok()?,
                generation: generation.parse().ok()?,
            })
        })(),
        _ => None,
    };
    key.ok_or_else(|| {
        "give a cursor as a page ends with it: an event's id, a subscription's id and a number, \
         with points between them"
            .to_owned()
    })
}

fn as_cursor(key: DeliveryKey) -> String {
    format!(
        "{}.{}.{}",
        key.event_id, key.subscription_id, key.generation
    )
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    found: &'a Found,
    cursor: String,
}

fn table(found: &[Found], limit: i64) -> String {
    if found.is_empty() {
        return "no delivery is like that\n".to_owned();
    }
    let mut table = Table::new([
        "EVENT",
        "MERCHANT",
        "SUBSCRIPTION",
        "TRANSACTION",
        "STATUS",
        "STATE",
        "TRIES",
        "HTTP",
        "WHEN",
        "WHY",
    ]);
    for row in found {
        let state = match row.generation {
            0 => row.label.clone(),
            generation => format!("{} (replay {generation})", row.label),
        };
        let when = match (row.finished_at, row.next_attempt_at) {
            (Some(at), _) => shown(at),
            (None, Some(at)) => format!("due {}", shown(at)),
            (None, None) => String::new(),
        };
        table.push([
            shown(row.created_at),
            row.merchant.clone(),
            row.subscription.clone(),
            row.transaction_id.clone(),
            row.status.clone(),
            state,
            row.attempts.to_string(),
            http(row),
            when,
            why(row),
        ]);
    }
    let text = table.text("");
    if i64::try_from(found.len()).is_ok_and(|count| count == limit)
        && let Some(last) = found.last()
    {
        return format!("{text}next page: --after {}\n", as_cursor(last.key()));
    }
    text
}

/// Says why the delivery is where it is. The reason goes with the payload that it may quote.
fn why(row: &Found) -> String {
    let purged = row.finished_at.is_some() && row.state != State::Delivered.as_str();
    let absent = if purged { "(purged)" } else { "" };
    row.reason.clone().unwrap_or_else(|| absent.to_owned())
}

/// Gives the last answer's status, or what came instead of one.
fn http(row: &Found) -> String {
    match (&row.last_http_status, &row.last_outcome) {
        (Some(status), _) => status.to_string(),
        (None, Some(outcome)) => outcome.clone(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let key = DeliveryKey {
            event_id: Uuid::from_u128(1),
            subscription_id: Uuid::max(),
            generation: 3,
        };
        assert_eq!(cursor(&as_cursor(key)).unwrap(), key);
        for text in [
            "",
            "1.2.3",
            "x",
            &format!("{}.{}", Uuid::nil(), Uuid::nil()),
        ] {
            assert!(cursor(text).unwrap_err().contains("as a page ends with it"));
        }
    }

    #[test]
    fn statuses_are_one_or_a_range() {
        assert_eq!(statuses("503").unwrap(), (503, 503));
        assert_eq!(statuses("500-599").unwrap(), (500, 599));
        for text in ["", "5xx", "99", "1000", "599-500", "500-"] {
            assert!(statuses(text).unwrap_err().contains("500-599"), "{text}");
        }
    }
}
