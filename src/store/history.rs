//! The configuration as it was.

use futures::TryStreamExt;

use super::{Pool, StoreError};
use crate::model::change::{Change, Kind};

/// Every change of the configuration, by revision. They are handed on one by one: of most,
/// nothing is kept.
pub async fn read_changes(pool: &Pool, mut take: impl FnMut(Change)) -> Result<(), StoreError> {
    let mut rows = sqlx::query!(
        "SELECT kind, subject, changed_at, settings FROM posthorn.config_history
          ORDER BY revision, changed_at"
    )
    .fetch(pool);
    while let Some(row) = rows.try_next().await? {
        let kind = match row.kind.as_str() {
            "subscription" => Kind::Subscription,
            "profile" => Kind::Profile,
            "lock" => Kind::Lock,
            _ => return Err(StoreError::Unreadable("a version of the configuration")),
        };
        take(Change {
            kind,
            subject: row.subject,
            at: row.changed_at,
            row: row.settings,
        });
    }
    Ok(())
}
