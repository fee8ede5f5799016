//! The rights of the kinds of database role.

use sqlx::{AssertSqlSafe, Executor};

use super::{Pool, StoreError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The provider's application: may insert events and issue sessions, and nothing else.
    Publisher,
    /// A worker process.
    Worker,
    /// A gateway process: reads events and tokens, and issues sessions.
    Gateway,
    /// Support staff: everything but secrets and payloads.
    Viewer,
}

/// Column rights keep a publisher from choosing `id` and `xid`: the feed leaves out
/// closed days by the one and finds new rows by the other.
const PUBLISHER: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT INSERT (merchant, kind, transaction_id, status, data) ON posthorn.events TO {role};
GRANT EXECUTE ON FUNCTION posthorn.publish, posthorn.subscribe_transaction,
    posthorn.issue_session, posthorn.issue_device_session TO {role};
";

/// The ledger is append-only for a worker too.
const WORKER: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA posthorn TO {role};
GRANT INSERT ON posthorn.deliveries, posthorn.attempts, posthorn.audits TO {role};
GRANT INSERT, UPDATE, DELETE ON posthorn.pending_deliveries, posthorn.workers TO {role};
GRANT UPDATE ON posthorn.shards TO {role};
GRANT UPDATE (ended_at) ON posthorn.transaction_subscriptions TO {role};
GRANT INSERT, UPDATE ON posthorn.subscriptions TO {role};
GRANT INSERT, UPDATE, DELETE ON posthorn.profiles, posthorn.locks TO {role};
GRANT UPDATE ON posthorn.config_revision TO {role};
GRANT EXECUTE ON FUNCTION posthorn.make_partitions, posthorn.drop_partitions,
    posthorn.drop_transaction_subscriptions, posthorn.purge_payloads,
    posthorn.settle_foreign_events, posthorn.seal_next_day, posthorn.advance_replays,
    posthorn.drop_sessions, posthorn.issue_session, posthorn.issue_device_session TO {role};
";

/// Of the subscriptions it needs the ids alone, and of the deliveries the times: to know
/// for how long a security token is good.
const GATEWAY: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT SELECT ON posthorn.events, posthorn.api_tokens, posthorn.sessions,
    posthorn.gateway_revision, posthorn.token_key, posthorn.migrations TO {role};
GRANT SELECT (id, merchant) ON posthorn.subscriptions TO {role};
GRANT SELECT (id, merchant, transaction_id) ON posthorn.transaction_subscriptions TO {role};
GRANT SELECT (event_id, subscription_id, started_at, duration_us) ON posthorn.attempts TO {role};
GRANT SELECT (event_id, subscription_id, due_at) ON posthorn.pending_deliveries TO {role};
GRANT EXECUTE ON FUNCTION posthorn.issue_session, posthorn.issue_device_session TO {role};
";

const VIEWER: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT SELECT ON posthorn.delivery_status, posthorn.status_workers, posthorn.status_shards,
    posthorn.status_unread, posthorn.status_subscriptions, posthorn.replays TO {role};
GRANT EXECUTE ON FUNCTION posthorn.preview_replay TO {role};
GRANT SELECT ON posthorn.subscriptions, posthorn.profiles, posthorn.locks, posthorn.transaction_subscriptions,
    posthorn.pending_deliveries, posthorn.deliveries, posthorn.attempts, posthorn.shards,
    posthorn.workers, posthorn.config_revision, posthorn.sources, posthorn.source_failures,
    posthorn.config_history, posthorn.seals, posthorn.seal_slices, posthorn.dropped_days,
    posthorn.audits TO {role};
GRANT SELECT (id, xid, created_at, shard, merchant, kind, transaction_id, status, purged_at)
    ON posthorn.events TO {role};
";

#[derive(Debug, thiserror::Error)]
pub enum GrantFailed {
    #[error("the database has no role {0:?}; CREATE ROLE it first")]
    NoSuchRole(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives an existing role just the rights of its part; safe to run again.
pub async fn grant(pool: &Pool, part: Part, role: &str) -> Result<(), GrantFailed> {
    let quoted: Option<String> = sqlx::query_scalar!(
        r#"SELECT quote_ident(rolname) AS "role!" FROM pg_roles WHERE rolname = $1"#,
        role
    )
    .fetch_optional(pool)
    .await
    .map_err(StoreError::from)?;
    let Some(quoted) = quoted else {
        return Err(GrantFailed::NoSuchRole(role.to_owned()));
    };
    let statements = match part {
        Part::Publisher => PUBLISHER,
        Part::Worker => WORKER,
        Part::Gateway => GATEWAY,
        Part::Viewer => VIEWER,
    };
    // Safe: the only text put in is the server's own quoting of an existing role's name.
    let mut transaction = pool.begin().await.map_err(StoreError::from)?;
    transaction
        .execute(sqlx::raw_sql(AssertSqlSafe(
            statements.replace("{role}", &quoted),
        )))
        .await
        .map_err(StoreError::from)?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(())
}
