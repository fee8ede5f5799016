//! Events that are committed inside the server, where publishing is not what is measured.

use tokio::task::JoinSet;

use super::data::{NUMBER, template};
use super::stand::Stand;

/// As a provider's applications do: several at a time.
const WRITERS: usize = 4;

/// One transaction an event, as a provider would; not durable at once, but at the checkpoint
/// that follows.
const PUBLISH: &str = "
CREATE OR REPLACE PROCEDURE public.publish_some(first int, past int, step int, merchants int,
                                     template text, place text)
LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN first .. past - 1 BY step LOOP
        INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
        VALUES ('merchant-' || n % merchants, 'payment.approved', 'transaction-' || n, 'approved',
                replace(template, place, lpad(n::text, length(place), '0'))::json);
        COMMIT;
    END LOOP;
END $$";

/// Each event in a transaction of its own, for `merchant-0` and those after it in turn.
pub async fn one_by_one(stand: &Stand, events: usize, merchants: u32) -> anyhow::Result<()> {
    let pool = stand.connect(u32::try_from(WRITERS)?).await?;
    sqlx::query(PUBLISH).execute(&pool).await?;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let mut session = pool.acquire().await?;
        let first = i32::try_from(writer)?;
        let (past, step) = (i32::try_from(events)?, i32::try_from(WRITERS)?);
        let merchants = i32::try_from(merchants)?;
        writers.spawn(async move {
            sqlx::query("SET synchronous_commit = off")
                .execute(&mut *session)
                .await?;
            sqlx::query("CALL public.publish_some($1, $2, $3, $4, $5, $6)")
                .bind(first)
                .bind(past)
                .bind(step)
                .bind(merchants)
                .bind(template())
                .bind(NUMBER)
                .execute(&mut *session)
                .await
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    pool.close().await;
    stand.checkpoint().await
}

/// All of them in one transaction, so that workers which run already see them at one moment.
pub async fn at_once(
    stand: &Stand,
    first: usize,
    events: usize,
    merchants: u32,
) -> anyhow::Result<()> {
    let pool = stand.connect(1).await?;
    sqlx::query(
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
         SELECT 'merchant-' || n % $3, 'payment.approved', 'transaction-' || n, 'approved',
                replace($4, $5, lpad(n::text, length($5), '0'))::json
           FROM generate_series($1, $1 + $2 - 1) AS n",
    )
    .bind(i64::try_from(first)?)
    .bind(i64::try_from(events)?)
    .bind(i64::from(merchants))
    .bind(template())
    .bind(NUMBER)
    .execute(&pool)
    .await?;
    pool.close().await;
    Ok(())
}
