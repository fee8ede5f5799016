//! Looking deliveries up, for people: `posthorn.delivery_status` by page.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::looking::look;
use super::{Pool, StoreError, Transaction};
use crate::model::{DeliveryKey, OutcomeClass, State};

/// What is looked for; what is not given does not narrow it.
#[derive(Clone, Debug)]
pub struct Search {
    /// The merchant whose deliveries are looked for.
    pub merchant: Option<String>,
    /// The subscription whose deliveries are looked for.
    pub subscription: Option<Named>,
    /// The transaction of whose events deliveries are looked for.
    pub transaction_id: Option<String>,
    /// The event whose deliveries are looked for.
    pub event_id: Option<Uuid>,
    /// The states that a delivery may be in; none: any.
    pub states: Option<Vec<Wanted>>,
    /// What the last attempt was answered: from the first to the second, both included.
    pub http_status: Option<(i16, i16)>,
    /// How the last attempt ended.
    pub outcome: Option<OutcomeClass>,
    /// The moment since which the event was inserted.
    pub since: Option<DateTime<Utc>>,
    /// The moment before which the event was inserted.
    pub until: Option<DateTime<Utc>>,
    /// The last one of the page before.
    pub after: Option<DeliveryKey>,
    /// The most deliveries that a page may have.
    pub limit: i64,
}

/// How people call a subscription.
#[derive(Clone, Debug)]
pub enum Named {
    /// The name, which is unique within the merchant.
    Name(String),
    /// The id.
    Id(Uuid),
}

/// A state, or one in the words of some profile.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The state.
    pub state: State,
    /// Its label, whatever the case; none: any.
    pub label: Option<String>,
}

/// A row of `posthorn.delivery_status`.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Whose it is.
    pub merchant: String,
    /// The subscription's name.
    pub subscription: String,
    /// The transaction that its event tells of.
    pub transaction_id: String,
    /// The event's kind.
    pub kind: String,
    /// What the event says.
    pub status: String,
    /// The state, by its name.
    pub state: String,
    /// What people call the state.
    pub label: String,
    /// How many attempts there were.
    pub attempts: i32,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// When the event was inserted.
    pub created_at: DateTime<Utc>,
    /// When the last attempt began.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// How the last attempt ended.
    pub last_outcome: Option<String>,
    /// What the last attempt was answered.
    pub last_http_status: Option<i16>,
    /// When it is due; none: it has ended.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it ended; none: it is open.
    pub finished_at: Option<DateTime<Utc>>,
    /// The event.
    pub event_id: Uuid,
    /// The subscription.
    pub subscription_id: Uuid,
    /// 0 for what the event caused itself, and a number for each replay.
    pub generation: i32,
}

impl Found {
    /// The key of the delivery.
    #[must_use]
    pub const fn key(&self) -> DeliveryKey {
        DeliveryKey {
            event_id: self.event_id,
            subscription_id: self.subscription_id,
            generation: self.generation,
        }
    }
}

/// Why nothing was searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchFailed {
    /// No subscription belongs to a merchant of this name.
    #[error("the merchant {0:?} has no subscription; look into posthorn.subscriptions")]
    NoSuchMerchant(String),
    /// No subscription has this name; with what there is.
    #[error("there is no subscription {0:?}; there is {1}")]
    NoSuchSubscription(String, String),
    /// No subscription has this id.
    #[error("there is no subscription {0}")]
    NoSuchId(Uuid),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SearchFailed {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The newest deliveries first: by event, and for one event by subscription and generation.
pub async fn find_deliveries(pool: &Pool, search: &Search) -> Result<Vec<Found>, SearchFailed> {
    let mut transaction = look(pool).await?;
    let endpoints = find_endpoints(&mut transaction, search).await?;
    let events = find_events(&mut transaction, search).await?;
    let found = find_page(&mut transaction, search, &endpoints, events.as_deref()).await?;
    transaction.commit().await?;
    Ok(found)
}

/// The states that profiles, subscriptions or locks call so, whatever the letter case.
pub async fn find_labelled(pool: &Pool, label: &str) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT DISTINCT l.key AS "state!"
          FROM (SELECT labels FROM posthorn.profiles UNION ALL
                SELECT labels FROM posthorn.subscriptions UNION ALL
                SELECT labels FROM posthorn.locks) AS t,
               json_each_text(t.labels) AS l
         WHERE lower(l.value) = lower($1)
        "#,
        label
    )
    .fetch_all(pool)
    .await?)
}

/// Whose deliveries they are.
#[derive(Debug, Default)]
struct Endpoints {
    merchant: Option<String>,
    name: Option<String>,
    /// All that they can be, where transactions bring none of their own.
    ids: Option<Vec<Uuid>>,
}

async fn find_endpoints(
    connection: &mut Transaction,
    search: &Search,
) -> Result<Endpoints, SearchFailed> {
    let (id, name) = match &search.subscription {
        Some(Named::Id(id)) => (Some(*id), None),
        Some(Named::Name(name)) => (None, Some(name.clone())),
        None => (None, None),
    };
    let merchant = search.merchant.clone();
    if merchant.is_none() && search.subscription.is_none() {
        return Ok(Endpoints::default());
    }
    let rows = sqlx::query!(
        r#"
        SELECT s.id, s.merchant, s.name,
               EXISTS (SELECT FROM posthorn.transaction_subscriptions t
                        WHERE t.merchant = s.merchant) AS "brings!"
          FROM posthorn.subscriptions s
         WHERE ($1::text IS NULL OR s.merchant = $1)
           AND ($2::uuid IS NULL OR s.id = $2)
           AND ($3::text IS NULL OR s.name = $3)
        "#,
        merchant,
        id,
        name
    )
    .fetch_all(&mut *connection)
    .await?;
    if let (Some(id), Some(row)) = (id, rows.first()) {
        return Ok(Endpoints {
            merchant: Some(row.merchant.clone()),
            name: Some(row.name.clone()),
            ids: (!row.brings).then(|| vec![id]),
        });
    }
    if let Some(id) = id {
        let of_transaction = sqlx::query_scalar!(
            "SELECT merchant FROM posthorn.transaction_subscriptions WHERE id = $1",
            id
        );
        let found = of_transaction.fetch_optional(connection).await?;
        return Ok(Endpoints {
            merchant: Some(found.ok_or(SearchFailed::NoSuchId(id))?),
            name: None,
            ids: Some(vec![id]),
        });
    }
    if rows.is_empty() {
        return Err(none_such(connection, merchant, name).await?);
    }
    let brings = rows.iter().any(|row| row.brings);
    Ok(Endpoints {
        merchant,
        name,
        ids: (!brings).then(|| rows.iter().map(|row| row.id).collect()),
    })
}

async fn none_such(
    connection: &mut Transaction,
    merchant: Option<String>,
    name: Option<String>,
) -> Result<SearchFailed, SearchFailed> {
    let others = sqlx::query_scalar!(
        r#"SELECT DISTINCT s.name FROM posthorn.subscriptions s
            WHERE $1::text IS NULL OR s.merchant = $1 ORDER BY s.name LIMIT 20"#,
        merchant
    )
    .fetch_all(connection)
    .await?;
    Ok(match (merchant, name) {
        (Some(merchant), _) if others.is_empty() => SearchFailed::NoSuchMerchant(merchant),
        (_, name) => SearchFailed::NoSuchSubscription(
            name.unwrap_or_default(),
            if others.is_empty() {
                "none at all".to_owned()
            } else {
                others.join(", ")
            },
        ),
    })
}

/// What `search` says of a delivery itself, one array a column.
struct Columns {
    states: Option<Vec<String>>,
    /// The states whose label does not matter, and the labels of the others.
    plain: Vec<String>,
    labels: Option<Vec<String>>,
    /// Only open ones, or only those that ended, if it is one or the other.
    open: Option<bool>,
    /// Whether what was delivered is left out.
    exceptions: bool,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    after: DeliveryKey,
}

impl Columns {
    fn of(search: &Search) -> Self {
        let wanted = search.states.as_deref();
        let all = |what: fn(State) -> bool| {
            wanted.is_some_and(|wanted| wanted.iter().all(|one| what(one.state)))
        };
        let open = all(State::is_open);
        let ended = all(|state| !state.is_open());
        // What was delivered has an answer that is a success.
        let failed = search.outcome.is_some_and(|it| it != OutcomeClass::Ok);
        let labels = wanted.into_iter().flatten();
        let labels = labels.filter_map(|one| one.label.as_ref().map(|it| it.to_lowercase()));
        let labels: Vec<String> = labels.collect();
        let plain = wanted
            .into_iter()
            .flatten()
            .filter(|one| one.label.is_none());
        Self {
            states: wanted.map(|wanted| wanted.iter().map(|it| it.state.to_string()).collect()),
            plain: plain.map(|one| one.state.to_string()).collect(),
            labels: (!labels.is_empty()).then_some(labels),
            open: (open || ended).then_some(open),
            exceptions: failed || all(|state| state != State::Delivered),
            since: search.since.unwrap_or(DateTime::UNIX_EPOCH),
            until: search.until.unwrap_or(THE_END),
            after: search.after.unwrap_or(DeliveryKey {
                event_id: Uuid::max(),
                subscription_id: Uuid::max(),
                generation: i32::MAX,
            }),
        }
    }
}

/// 9999-12-31, the last day whose text people can read.
const THE_END: DateTime<Utc> = match DateTime::from_timestamp(253_402_214_400, 0) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};

/// The ids of the event, or of the transaction's events.
async fn find_events(
    connection: &mut Transaction,
    search: &Search,
) -> Result<Option<Vec<Uuid>>, SearchFailed> {
    if search.event_id.is_none() && search.transaction_id.is_none() {
        return Ok(None);
    }
    let ids = sqlx::query_scalar!(
        "SELECT e.id FROM posthorn.events e
          WHERE ($1::uuid IS NULL OR e.id = $1)
            AND ($2::text IS NULL OR e.transaction_id = $2)
            AND ($3::text IS NULL OR e.merchant = $3)",
        search.event_id,
        search.transaction_id,
        search.merchant
    )
    .fetch_all(connection)
    .await?;
    Ok(Some(ids))
}

/// Walks the ledger and the open deliveries backwards, in the order of their keys, until the
/// page is full.
///
/// - The times bound the key, so days that are not meant are not looked at.
/// - `state <> 'delivered'` as text of the statement lets it walk the index of exceptions.
/// - Of the view's two halves the one that cannot match folds away: `next_attempt_at` is a
///   constant NULL in the ledger's, `finished_at` in the other.
/// - Of known events the keys are looked up instead.
/// - `subscription_id` is in the index, so others' deliveries cost little.
async fn find_page(
    connection: &mut Transaction,
    search: &Search,
    endpoints: &Endpoints,
    events: Option<&[Uuid]>,
) -> Result<Vec<Found>, SearchFailed> {
    let columns = Columns::of(search);
    Ok(sqlx::query_as!(
        Found,
        r#"
        SELECT s.merchant AS "merchant!", s.subscription AS "subscription!",
               s.transaction_id AS "transaction_id!", s.kind AS "kind!", s.status AS "status!",
               s.state::text AS "state!", s.label AS "label!", s.attempts AS "attempts!",
               s.reason, s.created_at AS "created_at!", s.last_attempt_at,
               s.last_outcome::text, s.last_http_status, s.next_attempt_at, s.finished_at,
               s.event_id AS "event_id!", s.subscription_id AS "subscription_id!",
               s.generation AS "generation!"
          FROM posthorn.delivery_status s
         WHERE ($1::boolean IS NULL OR ($1 AND s.next_attempt_at IS NOT NULL)
                                    OR (NOT $1 AND s.finished_at IS NOT NULL))
           AND (NOT $2::boolean OR s.state <> 'delivered')
           AND ($3::text IS NULL OR s.merchant = $3)
           AND s.event_id >= posthorn.uuid_floor($4) AND s.event_id < posthorn.uuid_floor($5)
           AND ($6::text IS NULL OR s.subscription = $6)
           AND ($7::uuid[] IS NULL OR s.subscription_id = ANY ($7))
           AND ($8::text[] IS NULL OR s.state::text = ANY ($8))
           AND ($9::text[] IS NULL OR s.state::text = ANY ($18) OR lower(s.label) = ANY ($9))
           AND ($10::smallint IS NULL OR s.last_http_status BETWEEN $10 AND $11::smallint)
           AND ($12::text IS NULL OR s.last_outcome::text = $12)
           AND (s.event_id, s.subscription_id, s.generation) < ($13::uuid, $14::uuid, $15::int)
           AND ($17::uuid[] IS NULL OR s.event_id = ANY ($17))
         ORDER BY s.event_id DESC, s.subscription_id DESC, s.generation DESC
         LIMIT $16
        "#,
        columns.open,
        columns.exceptions,
        endpoints.merchant,
        columns.since,
        columns.until,
        endpoints.name,
        endpoints.ids.as_deref(),
        columns.states.as_deref(),
        columns.labels.as_deref(),
        search.http_status.map(|range| range.0),
        search.http_status.map(|range| range.1),
        search.outcome.map(OutcomeClass::as_str),
        columns.after.event_id,
        columns.after.subscription_id,
        columns.after.generation,
        search.limit,
        events,
        &columns.plain
    )
    .fetch_all(connection)
    .await?)
}
