//! The profiles, locks and subscriptions that a config file declares: what stands in the
//! tables, and writing what changes.

use serde_json::Value;
use sqlx::PgConnection;

use super::error::ensure_met;
use super::{Pool, StoreError, Transaction};
use crate::model::declaration::{
    Conflict, Declaration, Entry, Kind, Owner, Plan, PlannedChange, Stored, listed, plan,
};

/// Why a config file's rows were not written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFailed {
    /// Rows of the file are somebody else's.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    Conflicts(Vec<Conflict>),
    /// Many rows are gone from the file, and nobody has said that this is meant.
    #[error(
        "{} are not in the file any more, and would be disabled or removed: {}; if that is meant, say so: \
         posthorn config apply --yes",
        .0.len(), listed(.0)
    )]
    TooManyGone(Vec<String>),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ApplyFailed {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What has been said to be meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// Rows that SQL manages, or another file, become this file's.
    pub take_over: bool,
    /// Any number may be disabled or removed.
    pub many: bool,
}

/// So many subscriptions and locks may go because a file no longer has them. More of them is
/// what a wrong or a damaged file looks like, too.
const A_FEW: usize = 3;

/// What applying the file would change. Writes nothing.
pub async fn plan_declared(
    pool: &Pool,
    declaration: &Declaration,
    take_over: bool,
) -> Result<Plan, ApplyFailed> {
    let stored = load_stored(&mut pool.begin().await?).await?;
    plan(declaration, &stored, take_over).map_err(ApplyFailed::Conflicts)
}

/// Makes the file's rows those that it declares, in one transaction: new ones are inserted,
/// changed ones updated; of missing ones, subscriptions are disabled and the others deleted.
/// Rows of others are touched only by consent. Rows that are as declared are left alone, so
/// that starting a second worker changes nothing.
pub async fn apply_declared(
    pool: &Pool,
    declaration: &Declaration,
    consent: Consent,
) -> Result<Plan, ApplyFailed> {
    let mut transaction = pool.begin().await?;
    // One file at a time: two workers may start at once. With the setting, rows that files
    // own may change.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtext('posthorn.config'))::text AS locked,
                set_config('posthorn.applying', 'on', true) AS applying"
    )
    .fetch_one(&mut transaction)
    .await?;
    let stored = load_stored(&mut transaction).await?;
    let plan = plan(declaration, &stored, consent.take_over).map_err(ApplyFailed::Conflicts)?;
    if !consent.many && needs_consent(&plan) {
        return Err(ApplyFailed::TooManyGone(plan.gone()));
    }
    let owner = Owner::File(declaration.owner.clone());
    for kind in Kind::ALL {
        write(&mut transaction, kind, &plan.changes, &owner).await?;
    }
    disable(&mut transaction, &plan.changes).await?;
    remove(&mut transaction, &plan.changes).await?;
    transaction.commit().await?;
    Ok(plan)
}

/// Whether a plan is carried out only where it is said to be meant.
#[must_use]
pub fn needs_consent(plan: &Plan) -> bool {
    plan.gone().len() > A_FEW
}

/// Puts the profiles that come with Posthorn into the table, as this version has them. One
/// of the same name that people made stays theirs.
pub(super) async fn install_builtin_profiles(
    connection: &mut PgConnection,
    profiles: &[Entry],
) -> Result<(), StoreError> {
    let rows: Value = profiles
        .iter()
        .map(|profile| owned_row(profile, &Owner::Builtin))
        .collect();
    sqlx::query!(
        "SELECT posthorn.declare('posthorn.profiles', 'name', coalesce(jsonb_agg(given), '[]'))
           FROM jsonb_array_elements($1) AS given
          WHERE NOT EXISTS (SELECT FROM posthorn.profiles p
                             WHERE p.name = given->>'name' AND p.managed_by <> 'builtin')",
        rows
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Every row that a file could declare, with its owner.
pub async fn load_stored(connection: &mut Transaction) -> Result<Vec<Stored>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT 'profile' AS "kind!", managed_by AS "managed_by!", jsonb_strip_nulls(to_jsonb(t)) AS "row!"
          FROM posthorn.profiles t
        UNION ALL
        SELECT 'lock', managed_by, jsonb_strip_nulls(to_jsonb(t)) FROM posthorn.locks t
        UNION ALL
        SELECT 'subscription', managed_by, jsonb_strip_nulls(to_jsonb(t)) FROM posthorn.subscriptions t
        "#
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let kind = Kind::ALL
                .into_iter()
                .find(|kind| kind.section() == row.kind);
            let owner = Owner::parse(&row.managed_by);
            let (kind, owner) = kind
                .zip(owner)
                .ok_or(StoreError::Unreadable("the owner of a row"))?;
            Ok(Stored {
                entry: Entry::of_row(kind, &row.row),
                owner,
            })
        })
        .collect()
}

async fn write(
    connection: &mut Transaction,
    kind: Kind,
    changes: &[PlannedChange],
    owner: &Owner,
) -> Result<(), StoreError> {
    let rows: Vec<Value> = changes
        .iter()
        .filter_map(|change| match change {
            PlannedChange::Add(entry) => Some(entry),
            PlannedChange::Alter(alteration) => Some(&alteration.after),
            PlannedChange::Disable(_) | PlannedChange::Remove(_) => None,
        })
        .filter(|entry| entry.kind == kind)
        .map(|entry| owned_row(entry, owner))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "SELECT posthorn.declare($1::text::regclass, $2, $3)",
        format!("posthorn.{}s", kind.section()),
        kind.identity().join(", "),
        Value::Array(rows)
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

fn owned_row(entry: &Entry, owner: &Owner) -> Value {
    let mut row = entry.to_row();
    row.insert("managed_by".to_owned(), owner.spelled().into());
    row.into()
}

async fn disable(
    connection: &mut Transaction,
    changes: &[PlannedChange],
) -> Result<(), StoreError> {
    let rows: Vec<Value> = changes
        .iter()
        .filter_map(|change| match change {
            PlannedChange::Disable(entry) => Some(entry.head.clone().into()),
            _ => None,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let count = rows.len();
    // Each was there when the plan was made, a moment ago in this transaction.
    let disabled = sqlx::query!(
        "UPDATE posthorn.subscriptions s SET enabled = false
           FROM jsonb_to_recordset($1) AS gone (merchant text, name text)
          WHERE s.merchant = gone.merchant AND s.name = gone.name",
        Value::Array(rows)
    )
    .execute(connection)
    .await?;
    ensure_met(&disabled, count, "subscriptions")
}

async fn remove(connection: &mut Transaction, changes: &[PlannedChange]) -> Result<(), StoreError> {
    let names = |kind: Kind| -> Vec<String> {
        let gone = changes.iter().filter_map(|change| match change {
            PlannedChange::Remove(entry) if entry.kind == kind => entry.head.get("name")?.as_str(),
            _ => None,
        });
        gone.map(str::to_owned).collect()
    };
    let (profiles, locks) = (names(Kind::Profile), names(Kind::Lock));
    // Each was there when the plan was made, as above.
    if !locks.is_empty() {
        let removed = sqlx::query!("DELETE FROM posthorn.locks WHERE name = ANY ($1)", &locks)
            .execute(&mut *connection)
            .await?;
        ensure_met(&removed, locks.len(), "locks")?;
    }
    if !profiles.is_empty() {
        let removed = sqlx::query!(
            "DELETE FROM posthorn.profiles WHERE name = ANY ($1)",
            &profiles
        )
        .execute(connection)
        .await?;
        ensure_met(&removed, profiles.len(), "profiles")?;
    }
    Ok(())
}
