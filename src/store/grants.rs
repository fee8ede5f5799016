//! The rights of the kinds of database role.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::error::ensure_met;
use super::{Pool, StoreError};

/// What a database role is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The provider's application: may insert events and issue sessions, and nothing else.
    Publisher,
    /// An application that may insert events of these merchants, and nothing else.
    PublisherOf(Vec<String>),
    /// A worker process.
    Worker,
    /// A gateway process: reads events and tokens, and issues sessions.
    Gateway,
    /// Support staff: everything but secrets, payloads and, unless the operator allows it,
    /// the bodies of receivers' answers.
    Viewer {
        /// Whether the bodies of answers may be read.
        answers: bool,
    },
}

/// Column rights keep a publisher from choosing `id` and `xid`: the feed leaves out
/// closed days by the one and finds new rows by the other.
const PUBLISHER: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT INSERT (merchant, kind, transaction_id, status, data) ON posthorn.events TO {role};
GRANT EXECUTE ON FUNCTION {publish}, posthorn.subscribe_transaction, posthorn.issue_session, posthorn.issue_device_session TO {role};
";

/// The view's trigger knows the role by a column that it has no right to.
const PUBLISHER_OF: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT INSERT (merchant, kind, transaction_id, status, data, subscriptions), SELECT (id)
    ON posthorn.own_events TO {role};
";

/// The ledger is append-only for a worker too, and the database says when a row was written.
/// A worker may serve as a gateway as well.
const WORKER: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT SELECT ON posthorn.api_tokens, posthorn.attempts, posthorn.audits, posthorn.config_history,
    posthorn.config_revision, posthorn.deliveries, posthorn.dropped_days, posthorn.events,
    posthorn.gateway_revision, posthorn.locks, posthorn.migrations, posthorn.pending_deliveries,
    posthorn.profiles, posthorn.purged_days, posthorn.replays, posthorn.seals, posthorn.secrets,
    posthorn.sessions, posthorn.shards, posthorn.source_failures,
    posthorn.sources, posthorn.subscriptions, posthorn.token_key, posthorn.transaction_subscriptions,
    posthorn.workers TO {role};
GRANT INSERT (event_id, subscription_id, generation, state, attempts, reason)
    ON posthorn.deliveries TO {role};
GRANT INSERT (event_id, subscription_id, generation, number, started_at, duration_us, outcome, http_status,
    reason, body, revision, tls, peer, proxy, head_digest, payload_digest) ON posthorn.attempts TO {role};
GRANT INSERT (started_at, since, events, expected, missing, repaired, settled_to, snapshot, cluster) ON posthorn.audits TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON posthorn.auditing TO {role};
GRANT INSERT, UPDATE, DELETE ON posthorn.pending_deliveries, posthorn.workers TO {role};
GRANT SELECT, INSERT, UPDATE ON posthorn.source_comparisons TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON posthorn.source_differences TO {role};
GRANT SELECT, DELETE ON posthorn.source_untold TO {role};
GRANT UPDATE (owner, epoch, expires_at, checkpoint, checkpoint_at, cluster) ON posthorn.shards TO {role};
GRANT UPDATE (ended_at) ON posthorn.transaction_subscriptions TO {role};
GRANT INSERT, UPDATE ON posthorn.subscriptions TO {role};
GRANT INSERT, UPDATE, DELETE ON posthorn.profiles, posthorn.locks TO {role};
GRANT UPDATE ON posthorn.config_revision TO {role};
GRANT EXECUTE ON FUNCTION posthorn.advance_replays, posthorn.are_all_days, posthorn.cluster,
    posthorn.count_waiting, posthorn.days, posthorn.days_since, posthorn.declare,
    posthorn.drop_partitions, posthorn.drop_sessions, posthorn.drop_transaction_subscriptions,
    posthorn.issue_device_session, posthorn.issue_session, posthorn.make_next_partition,
    posthorn.purge_step, posthorn.seal_step, posthorn.settle_foreign_events,
    posthorn.shard_of, posthorn.tables, posthorn.uuid_floor, posthorn.uuid_time,
    posthorn.uuid_v7 TO {role};
";

/// A gateway needs of the subscriptions the ids alone, and of the deliveries the times: to know
/// for how long a security token is good.
const GATEWAY: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT SELECT ON posthorn.events, posthorn.api_tokens, posthorn.sessions,
    posthorn.gateway_revision, posthorn.token_key, posthorn.migrations TO {role};
GRANT SELECT (id, merchant) ON posthorn.subscriptions TO {role};
GRANT SELECT (id, merchant, transaction_id) ON posthorn.transaction_subscriptions TO {role};
GRANT SELECT (event_id, subscription_id, started_at, duration_us) ON posthorn.attempts TO {role};
GRANT SELECT (event_id, subscription_id, due_at) ON posthorn.pending_deliveries TO {role};
GRANT EXECUTE ON FUNCTION posthorn.are_all_days, posthorn.cluster, posthorn.days,
    posthorn.issue_session, posthorn.issue_device_session, posthorn.tables, posthorn.uuid_floor TO {role};
";

const VIEWER: &str = "
GRANT USAGE ON SCHEMA posthorn TO {role};
GRANT SELECT ON posthorn.audits, posthorn.config_history, posthorn.config_revision, posthorn.deliveries,
    posthorn.delivery_status, posthorn.dropped_days, posthorn.locks, posthorn.migrations,
    posthorn.pending_deliveries, posthorn.profiles, posthorn.replays, posthorn.seal_slices,
    posthorn.seals, posthorn.shards, posthorn.source_comparisons,
    posthorn.source_differences, posthorn.source_failures, posthorn.source_mutes, posthorn.source_untold,
    posthorn.sources, posthorn.status_shards, posthorn.status_subscriptions, posthorn.status_unread,
    posthorn.status_workers, posthorn.subscriptions, posthorn.transaction_subscriptions,
    posthorn.workers TO {role};
GRANT SELECT (id, xid, created_at, shard, merchant, kind, transaction_id, status, source, purged_at)
    ON posthorn.events TO {role};
GRANT SELECT (event_id, subscription_id, generation, number, started_at, duration_us, outcome, http_status,
    reason, recorded_at, revision, tls, peer, proxy, head_digest, payload_digest, answer_digest, reason_digest)
    ON posthorn.attempts TO {role};
GRANT EXECUTE ON FUNCTION posthorn.cluster, posthorn.config_at, posthorn.days, posthorn.digested_rows,
    posthorn.event_day, posthorn.last_attempt, posthorn.preview_replay, posthorn.shard_of, posthorn.slices,
    posthorn.slices_digest, posthorn.tables, posthorn.unread_since, posthorn.uuid_floor, posthorn.uuid_time TO {role};
";

const ANSWERS: &str = "
GRANT SELECT (body) ON posthorn.attempts TO {role};
";

/// Whatever the role had before, by an earlier version or another part.
const NOTHING: &str = "
REVOKE ALL ON ALL TABLES IN SCHEMA posthorn FROM {role};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA posthorn FROM {role};
REVOKE ALL ON SCHEMA posthorn FROM {role};
";

/// What is made belongs to nobody but the owner and those who are granted a part by name:
/// PostgreSQL lets everybody execute a new function, and the owner's default privileges may
/// give away more.
const CLOSE: &str = "
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT 'PUBLIC'
        UNION
        SELECT a.grantee::regrole::text
          FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole, aclexplode(d.defaclacl) AS a
         WHERE r.rolname = current_user AND a.grantee NOT IN (0, d.defaclrole)
    LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA posthorn FROM %s', grantee);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA posthorn FROM %s', grantee);
        EXECUTE format('REVOKE ALL ON SCHEMA posthorn FROM %s', grantee);
    END LOOP;
END $$;
";

impl Part {
    /// The name by which people and `posthorn.grantees` call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Publisher | Self::PublisherOf(_) => "publisher",
            Self::Worker => "worker",
            Self::Gateway => "gateway",
            Self::Viewer { .. } => "viewer",
        }
    }

    fn merchants(&self) -> Option<&[String]> {
        match self {
            Self::PublisherOf(merchants) => Some(merchants),
            _ => None,
        }
    }

    fn statements(name: &str, of_merchants: bool, answers: bool) -> &'static [&'static str] {
        match name {
            "publisher" if of_merchants => &[PUBLISHER_OF],
            "publisher" => &[PUBLISHER],
            "worker" => &[WORKER],
            "gateway" => &[GATEWAY],
            "viewer" if answers => &[VIEWER, ANSWERS],
            "viewer" => &[VIEWER],
            _ => &[],
        }
    }
}

/// Why a role did not get its rights.
#[derive(Debug, thiserror::Error)]
pub enum GrantFailed {
    /// The server has no role of this name.
    #[error("the database has no role {0:?}; CREATE ROLE it first")]
    NoSuchRole(String),
    /// The role can do all that the owner can, and no grant bounds it.
    #[error(
        "the role {role:?} can do all that {owner:?} can, who owns the schema posthorn, so no grant bounds it; \
         give each part a role of its own that is neither a superuser nor a member of {owner:?}"
    )]
    IsTheOwner {
        /// The role that was to be given a part.
        role: String,
        /// Who owns the schema.
        owner: String,
    },
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for GrantFailed {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Gives an existing role just the rights of its parts, this one included; safe to run again.
pub async fn grant(pool: &Pool, part: &Part, role: &str) -> Result<(), GrantFailed> {
    let mut session = pool.connect().await?;
    let mut transaction = session.begin().await?;
    let found = sqlx::query!(
        r#"SELECT quote_ident(r.rolname) AS "quoted!", o.rolname::text AS "owner!",
                  pg_has_role(r.oid, o.oid, 'MEMBER') AS "is_owner!"
             FROM pg_roles r, pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
            WHERE r.rolname = $1 AND n.nspname = 'posthorn'"#,
        role
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(found) = found else {
        return Err(GrantFailed::NoSuchRole(role.to_owned()));
    };
    if found.is_owner {
        return Err(GrantFailed::IsTheOwner {
            role: role.to_owned(),
            owner: found.owner,
        });
    }
    lock(&mut transaction).await?;
    follow_roles(&mut transaction).await?;
    let remembered = sqlx::query!(
        "INSERT INTO posthorn.grantees AS g (role_name, part, merchants, answers, role_oid, server)
         SELECT r.rolname, $2, $3, $4, r.oid, c.system_identifier
           FROM pg_roles r, pg_control_system() c WHERE r.rolname = $1
         ON CONFLICT (role_name, part) DO UPDATE
            SET merchants = excluded.merchants, answers = excluded.answers, granted_at = now(),
                role_oid = excluded.role_oid, server = excluded.server",
        role,
        part.name(),
        part.merchants(),
        *part == Part::Viewer { answers: true },
    )
    .execute(&mut *transaction)
    .await?;
    // The next migration gives the role what its part means then, if it is remembered.
    ensure_met(&remembered, 1, "rows of posthorn.grantees")?;
    run(&mut transaction, NOTHING, &found.quoted).await?;
    give(&mut transaction, Some(role)).await?;
    transaction.commit().await?;
    Ok(())
}

/// After the migrations: takes from everybody what nobody gave them by name, and gives all
/// roles that have a part what it means in this version.
pub(super) async fn settle(connection: &mut PgConnection) -> Result<Settled, StoreError> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    transaction.execute(CLOSE).await?;
    let fates = follow_roles(&mut transaction).await?;
    let roles = give(&mut transaction, None).await?;
    transaction.commit().await?;
    Ok(Settled { roles, fates })
}

/// Who has which rights now.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Roles with a part.
    pub roles: usize,
    /// What became of the parts of others, in words.
    pub fates: Vec<String>,
}

/// A part is the role's, not the name's: one that was renamed takes it along, and one that was
/// dropped leaves nothing to whoever is given its name. In a server that a dump was restored
/// into, only the names are known.
async fn follow_roles(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    // However many there are that it concerns, mostly none.
    sqlx::query!(
        "UPDATE posthorn.grantees g SET role_oid = r.oid, server = c.system_identifier
           FROM pg_roles r, pg_control_system() c
          WHERE r.rolname = g.role_name AND g.server IS DISTINCT FROM c.system_identifier"
    )
    .execute(&mut *connection)
    .await?;
    let dropped = sqlx::query_scalar!(
        r#"DELETE FROM posthorn.grantees g USING pg_control_system() c
            WHERE g.server = c.system_identifier
              AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = g.role_oid)
           RETURNING format('the role %I was dropped, and is a %s no more', g.role_name, g.part) AS "fate!""#
    )
    .fetch_all(&mut *connection)
    .await?;
    let renamed = sqlx::query_scalar!(
        r#"WITH renamed AS (
               SELECT g.role_name AS before, r.rolname::text AS after, g.part
                 FROM posthorn.grantees g JOIN pg_roles r ON r.oid = g.role_oid
                WHERE r.rolname <> g.role_name
                  AND NOT EXISTS (SELECT FROM posthorn.grantees o
                                   WHERE o.role_name = r.rolname AND o.part = g.part))
           UPDATE posthorn.grantees g SET role_name = n.after
             FROM renamed n WHERE g.role_name = n.before AND g.part = n.part
           RETURNING format('the role %I is called %I by now, and is a %s still', n.before, n.after, g.part) AS "fate!""#
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok([dropped, renamed].concat())
}

/// One at a time: two would change the same rows of the catalog.
async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection
        .execute("SELECT pg_advisory_xact_lock(hashtext('posthorn.rights'))")
        .await?;
    Ok(())
}

/// To one role or to all that are remembered and still there.
async fn give(connection: &mut PgConnection, role: Option<&str>) -> Result<usize, StoreError> {
    let parts = sqlx::query!(
        r#"SELECT quote_ident(r.rolname) AS "quoted!", g.part,
                  g.merchants IS NOT NULL AS "of_merchants!", g.answers
             FROM posthorn.grantees g JOIN pg_roles r ON r.oid = g.role_oid
            WHERE $1::text IS NULL OR r.rolname = $1
            ORDER BY g.role_name, g.part"#,
        role
    )
    .fetch_all(&mut *connection)
    .await?;
    let publish = signatures_of_publish(connection).await?;
    let roles: BTreeSet<&str> = parts.iter().map(|row| row.quoted.as_str()).collect();
    for row in &parts {
        for statements in Part::statements(&row.part, row.of_merchants, row.answers) {
            let statements = statements.replace("{publish}", &publish);
            run(connection, &statements, &row.quoted).await?;
        }
    }
    connection.execute("SELECT posthorn.share_days()").await?;
    Ok(roles.len())
}

/// There is one for each combination of types that people have.
async fn signatures_of_publish(connection: &mut PgConnection) -> Result<String, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT string_agg(p.oid::regprocedure::text, ', ') AS "all!"
             FROM pg_proc p
            WHERE p.pronamespace = 'posthorn'::regnamespace AND p.proname = 'publish'"#
    )
    .fetch_one(connection)
    .await?)
}

async fn run(
    connection: &mut PgConnection,
    statements: &str,
    quoted: &str,
) -> Result<(), StoreError> {
    // Safe: the only text put in is the server's own quoting of an existing role's name.
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(
            statements.replace("{role}", quoted),
        )))
        .await?;
    Ok(())
}
