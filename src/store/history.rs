//! The configuration as it was.

use std::pin::pin;

use chrono::{DateTime, Utc};
use futures::{Stream, TryStreamExt};
use serde_json::Value;
use uuid::Uuid;

use super::{Pool, StoreError};
use crate::model::change::{Kind, SettingsChange};

/// Every change of the configuration, by revision. They are handed on one by one: of most,
/// nothing is kept. What a transaction published that changed it is told of changes since
/// a time, and of events since then.
///
/// The ids are looked at after the look-up: with them, other indexes would do as well, and while a
/// day is empty the planner cannot tell which is better.
pub async fn read_changes(
    pool: &Pool,
    own_since: DateTime<Utc>,
    take: impl FnMut(SettingsChange),
) -> Result<(), StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT h.kind, h.subject, h.changed_at, h.settings,
               CASE WHEN h.changed_at >= $1
                    THEN ARRAY(SELECT e.id FROM (SELECT v.id FROM posthorn.events v WHERE v.xid = h.xid OFFSET 0) AS e
                                WHERE e.id >= posthorn.uuid_floor($1))
                    ELSE '{}' END AS "own!"
          FROM posthorn.config_history h
         ORDER BY h.revision, h.changed_at
        "#,
        own_since,
    )
    .fetch(pool);
    hand_on(rows, take).await
}

/// What decides over these merchants' events since a time: of each of their subscriptions, and
/// of every profile and lock, the version of that time and all later ones, by revision.
pub async fn read_changes_since(
    pool: &Pool,
    merchants: &[&str],
    since: DateTime<Utc>,
    take: impl FnMut(SettingsChange),
) -> Result<(), StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT h.kind AS "kind!", h.subject AS "subject!", h.changed_at AS "changed_at!", h.settings,
               CASE WHEN h.changed_at >= $2
                    THEN ARRAY(SELECT e.id FROM (SELECT v.id FROM posthorn.events v WHERE v.xid = h.xid OFFSET 0) AS e
                                WHERE e.id >= posthorn.uuid_floor($2))
                    ELSE '{}' END AS "own!"
          FROM (SELECT v.* FROM posthorn.subscriptions s
                  JOIN posthorn.config_history v ON v.kind = 'subscription' AND v.subject = s.id::text
                 WHERE s.merchant = ANY ($1)
                 UNION ALL
                SELECT v.* FROM posthorn.config_history v WHERE v.kind IN ('profile', 'lock')) AS h
         WHERE NOT EXISTS (
               SELECT FROM posthorn.config_history l
                WHERE l.kind = h.kind AND l.subject = h.subject AND l.revision > h.revision
                  AND l.changed_at <= $2)
         ORDER BY h.revision, h.changed_at
        "#,
        merchants as &[&str],
        since,
    )
    .fetch(pool);
    hand_on(rows, take).await
}

/// When the configuration was changed last.
pub async fn newest_change(pool: &Pool) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT changed_at FROM posthorn.config_history ORDER BY changed_at DESC LIMIT 1"
    )
    .fetch_optional(pool)
    .await?)
}

struct Row {
    kind: String,
    subject: String,
    changed_at: DateTime<Utc>,
    settings: Option<Value>,
    own: Vec<Uuid>,
}

async fn hand_on(
    rows: impl Stream<Item = Result<Row, sqlx::Error>> + Send,
    mut take: impl FnMut(SettingsChange),
) -> Result<(), StoreError> {
    let mut rows = pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let kind = match row.kind.as_str() {
            "subscription" => Kind::Subscription,
            "profile" => Kind::Profile,
            "lock" => Kind::Lock,
            _ => return Err(StoreError::Unreadable("a version of the configuration")),
        };
        take(SettingsChange {
            kind,
            subject: row.subject,
            at: row.changed_at,
            row: row.settings,
            own: row.own,
        });
    }
    Ok(())
}
