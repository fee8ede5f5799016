//! Everything that the database knows of one event.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::{Pool, StoreError};

/// An event apart from its payload, as a JSON object; none where there is no such event.
pub async fn find_facts(pool: &Pool, event: Uuid) -> Result<Option<Value>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT json_build_object(
                   'id', e.id, 'merchant', e.merchant, 'kind', e.kind,
                   'transaction_id', e.transaction_id, 'status', e.status,
                   'created_at', e.created_at, 'purged_at', e.purged_at) AS "facts!"
          FROM posthorn.events e WHERE e.id = $1
        "#,
        event
    )
    .fetch_optional(pool)
    .await?)
}

/// What of a payload there is for a role.
#[derive(Debug)]
pub enum Payload {
    /// The session's role may not read payloads.
    NotForThisRole,
    /// The payload is no longer kept.
    Purged,
    /// The payload is kept.
    There {
        /// The SHA-256 of its text, in hexadecimal.
        digest: String,
        /// The text itself.
        data: String,
    },
}

/// An event's payload with its digest, if it is there and the role may read it.
pub async fn find_payload(pool: &Pool, event: Uuid) -> Result<Payload, StoreError> {
    let may_read = sqlx::query_scalar!(
        r#"SELECT has_column_privilege('posthorn.events', 'data', 'SELECT') AS "may!""#
    )
    .fetch_one(pool)
    .await?;
    if !may_read {
        return Ok(Payload::NotForThisRole);
    }
    let row = sqlx::query!(
        r#"
        SELECT encode(sha256(convert_to(data::text, 'UTF8')), 'hex') AS "digest!", data::text AS "data!"
          FROM posthorn.events WHERE id = $1 AND data IS NOT NULL
        "#,
        event
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map_or(Payload::Purged, |row| Payload::There {
        digest: row.digest,
        data: row.data,
    }))
}

/// A delivery or an attempt, as a JSON object.
#[derive(Debug)]
pub struct Record {
    /// The subscription of the delivery.
    pub subscription_id: Uuid,
    /// The generation of the delivery.
    pub generation: i32,
    /// What is known of it.
    pub object: Value,
}

/// The event's deliveries that ended or wait in the database, in every generation, each with
/// the seal that covers it.
pub async fn find_deliveries(pool: &Pool, event: Uuid) -> Result<Vec<Record>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT subscription_id AS "subscription_id!", generation AS "generation!", object AS "object!"
          FROM (SELECT d.subscription_id, d.generation, json_build_object(
                       'state', d.state, 'attempts', d.attempts, 'reason', d.reason,
                       'reason_digest', encode(coalesce(d.reason_digest, sha256(convert_to(d.reason, 'UTF8'))), 'hex'),
                       'finished_at', d.finished_at,
                       'seal', (SELECT json_build_object('day', s.day, 'seal', encode(s.seal, 'hex'))
                                  FROM posthorn.seals s
                                 WHERE s.day = (d.finished_at AT TIME ZONE 'UTC')::date)) AS object
                  FROM posthorn.deliveries d WHERE d.event_id = $1
                UNION ALL
                SELECT p.subscription_id, p.generation, json_build_object(
                       'state', p.state, 'attempts', p.attempts, 'reason', p.reason,
                       'opened_at', p.opened_at, 'due_at', p.due_at)
                  FROM posthorn.pending_deliveries p WHERE p.event_id = $1) AS found
         ORDER BY subscription_id, generation
        "#,
        event
    )
    .fetch_all(pool)
    .await?;
    let records = rows.into_iter().map(|row| Record {
        subscription_id: row.subscription_id,
        generation: row.generation,
        object: row.object,
    });
    Ok(records.collect())
}

/// An attempt without the answer's text, and what tells which it is.
#[derive(Debug)]
pub struct AttemptRecord {
    /// The attempt.
    pub record: Record,
    /// Which attempt of its delivery it is.
    pub number: i32,
    /// The revision of the configuration that held.
    pub revision: Option<i64>,
}

/// The event's attempts in their order, each with the seal that covers it. Of the answers'
/// text, which not every role may read, only the digests of what was purged.
pub async fn find_attempts(pool: &Pool, event: Uuid) -> Result<Vec<AttemptRecord>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT a.subscription_id, a.generation, a.number, a.revision, json_build_object(
                   'number', a.number, 'started_at', a.started_at, 'duration_us', a.duration_us,
                   'outcome', a.outcome, 'http_status', a.http_status, 'reason', a.reason,
                   'reason_digest', encode(coalesce(a.reason_digest, sha256(convert_to(a.reason, 'UTF8'))), 'hex'),
                   'answer', NULL, 'answer_digest', encode(a.answer_digest, 'hex'),
                   'peer', host(a.peer), 'proxy', host(a.proxy),
                   'tls', CASE a.tls WHEN 12 THEN '1.2' WHEN 13 THEN '1.3' END,
                   'head_digest', encode(a.head_digest, 'hex'),
                   'payload_digest', encode(a.payload_digest, 'hex'),
                   'revision', a.revision, 'recorded_at', a.recorded_at,
                   'seal', (SELECT json_build_object('day', s.day, 'seal', encode(s.seal, 'hex'))
                              FROM posthorn.seals s
                             WHERE s.day = (a.recorded_at AT TIME ZONE 'UTC')::date)) AS "object!"
          FROM posthorn.attempts a WHERE a.event_id = $1
         ORDER BY a.subscription_id, a.generation, a.number
        "#,
        event
    )
    .fetch_all(pool)
    .await?;
    let records = rows.into_iter().map(|row| AttemptRecord {
        record: Record {
            subscription_id: row.subscription_id,
            generation: row.generation,
            object: row.object,
        },
        number: row.number,
        revision: row.revision,
    });
    Ok(records.collect())
}

/// An attempt of an event by its subscription, generation and number.
pub type AttemptKey = (Uuid, i32, i32);

/// The text of each answer that is there, with its digest; none where the role may not read
/// answers.
pub async fn find_answers(
    pool: &Pool,
    event: Uuid,
) -> Result<Option<HashMap<AttemptKey, (String, String)>>, StoreError> {
    let may_read = sqlx::query_scalar!(
        r#"SELECT has_column_privilege('posthorn.attempts', 'body', 'SELECT') AS "may!""#
    )
    .fetch_one(pool)
    .await?;
    if !may_read {
        return Ok(None);
    }
    let rows = sqlx::query!(
        r#"
        SELECT subscription_id, generation, number,
               encode(sha256(convert_to(body, 'UTF8')), 'hex') AS "digest!", body AS "body!"
          FROM posthorn.attempts WHERE event_id = $1 AND body IS NOT NULL
        "#,
        event
    )
    .fetch_all(pool)
    .await?;
    let answers = rows.into_iter().map(|row| {
        let key = (row.subscription_id, row.generation, row.number);
        (key, (row.digest, row.body))
    });
    Ok(Some(answers.collect()))
}

/// What a subscription, or one of a transaction's own, is called.
#[derive(Debug)]
pub struct Named {
    /// The name of the subscription, or of the template.
    pub name: String,
    /// The template, where it is a transaction's own subscription.
    pub template_id: Option<Uuid>,
}

/// What a subscription is called; none: it is not there any more.
pub async fn find_name(pool: &Pool, id: Uuid) -> Result<Option<Named>, StoreError> {
    let row = sqlx::query!(
        r#"
        SELECT s.name, t.template_id AS "template_id?"
          FROM (SELECT 1) AS one
          LEFT JOIN posthorn.transaction_subscriptions t ON t.id = $1
          JOIN posthorn.subscriptions s ON s.id = coalesce(t.template_id, $1)
        "#,
        id
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Named {
        name: row.name,
        template_id: row.template_id,
    }))
}

/// The configuration that a subscription had at a revision, as JSON objects: locks, the
/// subscription itself, its profile.
pub async fn config_at(
    pool: &Pool,
    subscription: Uuid,
    revision: i64,
) -> Result<Vec<Value>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT json_build_object('kind', kind, 'subject', subject, 'revision', revision,
                                 'changed_at', changed_at, 'settings', settings) AS "layer!"
          FROM posthorn.config_at($1, $2)
        "#,
        subscription,
        revision
    )
    .fetch_all(pool)
    .await?)
}
