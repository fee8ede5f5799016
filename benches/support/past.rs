//! The days that an installation has behind it: a database that is a month old has a partition of
//! each for events, deliveries and attempts, with rows in them.

use sqlx::{AssertSqlSafe, PgPool};

use super::data::{NUMBER, template};

/// What the default retention keeps.
pub const RETENTION_DAYS: u16 = 30;

/// How many days before today a database has, and how many rows each of them has in each table.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    pub days: u16,
    pub rows: u32,
}

/// A day after the other, each in a transaction of its own: events of merchants that have left,
/// delivered when they came; a seal, so that no worker makes up for it; and at the end checkpoints
/// that are past it all. Nobody looks whether the seals are right.
const LIVE: &str = "
CREATE PROCEDURE public.live_through(days int, row_count int, template text, place text)
LANGUAGE plpgsql AS $$
DECLARE
    day date;
    parent text;
    low uuid;
    beyond uuid;
BEGIN
    FOR ago IN REVERSE days .. 1 LOOP
        day := current_date - ago;
        low := posthorn.uuid_floor(day::timestamptz);
        beyond := posthorn.uuid_floor((day + 1)::timestamptz);
        FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
            PERFORM posthorn.make_partition(parent, day);
        END LOOP;
        INSERT INTO posthorn.events (id, created_at, merchant, kind, transaction_id, status, data)
        SELECT (left(posthorn.uuid_floor(m.at)::text, 14) || '7' || right(gen_random_uuid()::text, 21))::uuid,
               m.at, 'past-merchant-' || n % 20, 'payment.approved', 'past-' || day || '-' || n, 'approved',
               replace(template, place, lpad(n::text, length(place), '0'))::json
          FROM generate_series(1, row_count) AS n,
               LATERAL (SELECT day::timestamptz + interval '1 day' * (n - 1) / row_count AS at) AS m;
        INSERT INTO posthorn.deliveries (event_id, subscription_id, finished_at, attempts, state)
        SELECT e.id, md5(e.merchant)::uuid, e.created_at + interval '10 ms', 1, 'delivered'
          FROM posthorn.events e WHERE e.id >= low AND e.id < beyond;
        INSERT INTO posthorn.attempts (event_id, subscription_id, started_at, number, duration_us, outcome,
                                       http_status, reason, recorded_at, revision, peer, head_digest, payload_digest)
        SELECT e.id, md5(e.merchant)::uuid, e.created_at + interval '5 ms', 1, 1000, 'ok', 200, '200 OK',
               e.created_at + interval '10 ms', 1, '127.0.0.1', sha256(e.id::text::bytea), sha256(e.id::text::bytea)
          FROM posthorn.events e WHERE e.id >= low AND e.id < beyond;
        INSERT INTO posthorn.seals (day, deliveries, deliveries_digest, attempts, attempts_digest, previous, seal)
        SELECT day, row_count, d.digest, row_count, d.digest, d.digest, d.digest
          FROM (SELECT sha256(day::text::bytea) AS digest) AS d;
        COMMIT;
    END LOOP;
    UPDATE posthorn.shards SET checkpoint = pg_current_snapshot(), cluster = posthorn.cluster();
END $$";

/// What autovacuum has long looked after: the past days' partitions, and not their parents.
const LOOKED_AFTER: &str = "
SELECT string_agg(i.inhrelid::regclass::text, ', ')
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = ANY ('{posthorn.events, posthorn.deliveries, posthorn.attempts}'::regclass[])
   AND c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) < to_char(current_date, 'YYYYMMDD')";

impl Past {
    /// A database as the default retention leaves it.
    pub fn kept_by_default(rows: u32) -> Self {
        let days = RETENTION_DAYS;
        Self { days, rows }
    }

    /// What a worker has to keep, so that it drops none of these days.
    pub fn retention_days(self) -> u16 {
        self.days.max(RETENTION_DAYS)
    }

    /// Makes these days in a database that has none yet. Workers have read all of their events.
    pub async fn fill(self, pool: &PgPool) -> anyhow::Result<()> {
        sqlx::query(LIVE).execute(pool).await?;
        sqlx::query("CALL public.live_through($1, $2, $3, $4)")
            .bind(i32::from(self.days))
            .bind(i32::try_from(self.rows)?)
            .bind(template())
            .bind(NUMBER)
            .execute(pool)
            .await?;
        sqlx::query("DROP PROCEDURE public.live_through")
            .execute(pool)
            .await?;
        let partitions: Option<String> = sqlx::query_scalar(LOOKED_AFTER).fetch_one(pool).await?;
        if let Some(partitions) = partitions {
            let vacuum = format!("VACUUM (ANALYZE) {partitions}");
            sqlx::query(AssertSqlSafe(vacuum)).execute(pool).await?;
        }
        Ok(())
    }
}
