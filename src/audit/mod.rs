//! Audit: compares events × subscriptions with the ledger and the open deliveries.
//!
//! ```text
//! events ──by id──▶ versions (who wanted it) ──▶ known rows ──▶ tally, a line per merchant and day
//!                      pure: route                                └─▶ what is missing is opened again
//! ```

pub mod difference;
pub mod seals;
pub mod tally;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::tally::{Counts, Line, Tally, time_of};
use crate::flow::STATEMENT;
use crate::model::event::{StatusesBefore, first_id_at};
use crate::model::{DeliveryKey, Endpoint, Event, Shard, Snapshot, State};
use crate::route::history::History;
use crate::route::versions::{Versions, Wanted};
use crate::store::audit::{Missing, find_repeated, read_checkpoints, read_stretch, reopen};
use crate::store::history::read_changes;
use crate::store::known::find_known_deliveries;
use crate::store::transactions::{find_endpoints, find_statuses_before};
use crate::store::{Pool, StoreError, within};

/// How many events are read at a time: about 2 MB, with all that is looked up for them. It is some
/// hundredths of a second for the database, whatever the number of events.
const PAGE: i64 = 2_000;

/// How long a statement may take. It is longer than for a worker's: nobody waits for an audit.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The events that are looked at, by the time in their ids.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first moment of the span.
    pub since: DateTime<Utc>,
    /// The first moment behind the span.
    pub until: DateTime<Utc>,
}

/// Goes through the events of a span; `tell` is given the lines of each day once the day is
/// through. With `repair`, what is missing becomes pending. Returns the sum of all lines.
///
/// Memory is a page, the counts of one day and the versions of the subscriptions, whatever
/// the number of events.
pub async fn audit(
    pool: &Pool,
    span: Span,
    repair: bool,
    mut tell: impl FnMut(&[Line]),
) -> Result<Counts, StoreError> {
    let with = Auditor::new(pool, span.since).await?;
    let mut after = first_id_at(span.since);
    let until = first_id_at(span.until);
    let mut tally = Tally::default();
    let mut total = Counts::default();
    loop {
        let mut lines = Vec::new();
        let page = with.read(after, until).await?;
        if let Some(page) = &page {
            after = page.last;
            let repaired = if repair {
                within(PATIENCE, open_again(pool, &with.missing(page))).await?
            } else {
                HashSet::new()
            };
            with.count(page, &repaired, &mut tally, &mut lines);
        } else {
            tally.finish(&mut lines);
        }
        total += sum(&lines);
        tell(&lines);
        if page.is_none() {
            return Ok(total);
        }
    }
}

async fn open_again(pool: &Pool, missing: &[Missing]) -> Result<HashSet<DeliveryKey>, StoreError> {
    if missing.is_empty() {
        return Ok(HashSet::new());
    }
    let mut transaction = pool.begin().await?;
    let opened = reopen(&mut transaction, missing).await?;
    transaction.commit().await?;
    Ok(opened)
}

/// The sum of some lines.
#[must_use]
pub fn sum(lines: &[Line]) -> Counts {
    let mut total = Counts::default();
    for line in lines {
        total += line.counts;
    }
    total
}

/// Whoever audits: what is known before the first event is looked at.
pub struct Auditor<'a> {
    pool: &'a Pool,
    checkpoints: HashMap<Shard, Snapshot>,
    versions: Versions,
}

/// Some events, one behind the other, and what the database says of them.
pub struct Page {
    /// The last event.
    pub last: Uuid,
    events: Vec<(u64, Event)>,
    found: Found,
}

/// What the database says of a page of events.
struct Found {
    endpoints: HashMap<Uuid, Vec<(Uuid, Endpoint)>>,
    before: StatusesBefore,
    rows: HashMap<Uuid, HashMap<Uuid, State>>,
    repeated: HashMap<Uuid, u64>,
}

/// Tells which subscriptions one event was for, transactions' own among them.
pub async fn who_wanted(pool: &Pool, id: Uuid) -> Result<Vec<(Uuid, Wanted)>, StoreError> {
    let with = Auditor::new(pool, time_of(id)).await?;
    let next =
        |id: Uuid, step: i8| Uuid::from_u128(id.as_u128().saturating_add_signed(step.into()));
    let page = within(PATIENCE, read_stretch(pool, next(id, -1), next(id, 1), 1)).await?;
    let found = with.look_up(&page).await?;
    let wanted = page
        .iter()
        .flat_map(|(_, event)| with.wanted(event, &found));
    Ok(wanted
        .map(|(wanted, one)| (one.key.subscription_id, wanted))
        .collect())
}

impl<'a> Auditor<'a> {
    /// Prepares an audit of events since a time.
    pub async fn new(pool: &'a Pool, since: DateTime<Utc>) -> Result<Self, StoreError> {
        // Before any row is looked for: what a checkpoint includes has its rows by then.
        let checkpoints = within(STATEMENT, read_checkpoints(pool)).await?;
        let mut history = History::default();
        within(
            PATIENCE,
            read_changes(pool, since, |change| history.take(change)),
        )
        .await?;
        Ok(Self {
            pool,
            checkpoints,
            versions: history.into_versions(),
        })
    }

    /// Reads the next events behind an id and before another; none where there are none.
    pub async fn read(&self, after: Uuid, until: Uuid) -> Result<Option<Page>, StoreError> {
        let events = within(PATIENCE, read_stretch(self.pool, after, until, PAGE)).await?;
        let Some((_, last)) = events.last() else {
            return Ok(None);
        };
        Ok(Some(Page {
            last: last.id,
            found: self.look_up(&events).await?,
            events,
        }))
    }

    /// When the first event of a page was published that no worker has read to the end yet.
    #[must_use]
    pub fn settled_to(&self, page: &Page) -> Option<DateTime<Utc>> {
        let mut events = page.events.iter();
        let unsettled = events.find(|(xid, event)| !self.is_settled(*xid, event));
        unsettled.map(|(_, event)| time_of(event.id))
    }

    /// The deliveries of a page that should have a row and have none.
    #[must_use]
    pub fn missing(&self, page: &Page) -> Vec<Missing> {
        let events = page.events.iter();
        events
            .filter(|(xid, event)| self.is_settled(*xid, event))
            .flat_map(|(_, event)| self.without_row(event, &page.found))
            .filter_map(|(wanted, one)| (wanted == Wanted::Yes).then_some(one))
            .collect()
    }

    /// Counts a page, of whose missing deliveries some were repaired.
    pub fn count(
        &self,
        page: &Page,
        repaired: &HashSet<DeliveryKey>,
        tally: &mut Tally,
        lines: &mut Vec<Line>,
    ) {
        let found = &page.found;
        for (xid, event) in &page.events {
            let counts = tally.at(event.id, &event.merchant, lines);
            counts.events += 1;
            counts.repeated += found.repeated.get(&event.id).copied().unwrap_or(0);
            let rows = found.rows.get(&event.id);
            for state in rows.into_iter().flat_map(HashMap::values) {
                counts.count(*state);
            }
            for (wanted, one) in self.without_row(event, found) {
                match wanted {
                    Wanted::No => {}
                    Wanted::Undecided => counts.undecided += 1,
                    Wanted::Yes if !self.is_settled(*xid, event) => {
                        counts.expected += 1;
                        counts.unsettled += 1;
                    }
                    Wanted::Yes => {
                        counts.expected += 1;
                        counts.missing += 1;
                        counts.repaired += u64::from(repaired.contains(&one.key));
                    }
                }
            }
        }
    }

    /// Whether a worker has dealt with the event, as far as its checkpoint tells.
    fn is_settled(&self, xid: u64, event: &Event) -> bool {
        let checkpoint = self.checkpoints.get(&event.shard);
        checkpoint.is_some_and(|checkpoint| checkpoint.includes(xid))
    }

    /// The deliveries that the event may be for, but for those that have a row.
    fn without_row<'b>(
        &'b self,
        event: &'b Event,
        found: &'b Found,
    ) -> impl Iterator<Item = (Wanted, Missing)> + 'b {
        let rows = found.rows.get(&event.id);
        let has_row = move |id| rows.is_some_and(|rows| rows.contains_key(&id));
        self.wanted(event, found)
            .filter(move |(_, one)| !has_row(one.key.subscription_id))
    }

    /// The deliveries that the event may be for.
    fn wanted<'b>(
        &'b self,
        event: &'b Event,
        found: &'b Found,
    ) -> impl Iterator<Item = (Wanted, Missing)> + 'b {
        let before = found.before.get(&event.id).map(|status| &**status);
        let subscriptions = self.versions.of(event, before);
        let subscriptions = subscriptions.map(|(id, wanted)| (wanted, id, None));
        let brought = found.endpoints.get(&event.id).into_iter().flatten();
        let brought = brought.map(move |(id, endpoint)| {
            let template_id = endpoint.template_id;
            let wanted = self.versions.template(template_id, event, before);
            (wanted, *id, Some(template_id))
        });
        subscriptions
            .chain(brought)
            .map(|(wanted, id, template_id)| {
                let key = DeliveryKey::first(event.id, id);
                (wanted, Missing { key, template_id })
            })
    }

    async fn look_up(&self, page: &[(u64, Event)]) -> Result<Found, StoreError> {
        let pool = self.pool;
        let events = || page.iter().map(|(_, event)| event);
        let ids: Vec<Uuid> = events().map(|event| event.id).collect();
        let mut rows: HashMap<Uuid, HashMap<Uuid, State>> = HashMap::new();
        for (key, state) in within(PATIENCE, find_known_deliveries(pool, &ids)).await? {
            let of_event = rows.entry(key.event_id).or_default();
            of_event.insert(key.subscription_id, state);
        }
        let of_templates: Vec<&Event> = events()
            .filter(|event| self.versions.has_template(event))
            .collect();
        let of_changes: Vec<&Event> = events()
            .filter(|event| self.versions.wants_changes(event))
            .collect();
        let mut endpoints = HashMap::new();
        if !of_templates.is_empty() {
            endpoints = within(PATIENCE, find_endpoints(pool, &of_templates)).await?;
        }
        let mut before = StatusesBefore::new();
        if !of_changes.is_empty() {
            before = within(PATIENCE, find_statuses_before(pool, &of_changes)).await?;
        }
        let mut repeated: HashMap<Uuid, u64> = HashMap::new();
        if let (Some(&first), Some(&last)) = (ids.first(), ids.last()) {
            for (event, repeats) in within(PATIENCE, find_repeated(pool, first, last)).await? {
                *repeated.entry(event).or_default() += repeats;
            }
        }
        Ok(Found {
            endpoints,
            before,
            rows,
            repeated,
        })
    }
}
