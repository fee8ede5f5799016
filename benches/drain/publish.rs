//! Commits the events before the worker starts.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::data::{NUMBER, template};
use crate::support::stand::{Stand, Subscriptions};

/// As a provider's applications do: several at a time.
const WRITERS: usize = 4;

/// PostgreSQL 14 passes a session's counts on this late at most.
pub const STATISTICS: Duration = Duration::from_millis(600);

/// Inside the server, since this is not what is measured. One transaction an event, as a
/// provider would; not durable at once, but at the checkpoint that follows.
const PUBLISH: &str = "
CREATE PROCEDURE public.publish_some(first int, past int, step int, merchants int,
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

pub async fn publish(
    stand: &Stand,
    events: usize,
    subscriptions: Subscriptions,
) -> anyhow::Result<()> {
    let pool = stand.connect(u32::try_from(WRITERS)?).await?;
    sqlx::query(PUBLISH).execute(&pool).await?;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let mut session = pool.acquire().await?;
        let first = i32::try_from(writer)?;
        let (past, step) = (i32::try_from(events)?, i32::try_from(WRITERS)?);
        let merchants = i32::try_from(subscriptions.subscriptions)?;
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
    sqlx::query("CHECKPOINT").execute(&pool).await?;
    pool.close().await;
    Ok(())
}
