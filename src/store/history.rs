//! The configuration as it was.

use futures::TryStreamExt;
use sqlx::PgPool;

use super::StoreError;
use crate::audit::history::{Change, History, Kind};
use crate::audit::versions::Versions;

/// Every version of every subscription. The rows are read one by one: of most, nothing is
/// kept.
pub async fn load_versions(pool: &PgPool) -> Result<Versions, StoreError> {
    let mut rows = sqlx::query!(
        "SELECT kind, subject, changed_at, settings FROM posthorn.config_history
          ORDER BY revision, changed_at"
    )
    .fetch(pool);
    let mut history = History::default();
    while let Some(row) = rows.try_next().await? {
        let kind = match row.kind.as_str() {
            "subscription" => Kind::Subscription,
            "profile" => Kind::Profile,
            "lock" => Kind::Lock,
            _ => return Err(StoreError::Unreadable("a version of the configuration")),
        };
        history.take(Change {
            kind,
            subject: row.subject,
            at: row.changed_at,
            row: row.settings,
        });
    }
    Ok(history.into_versions())
}
