//! An endpoint that is down for hours leaves millions of rows, which are counted up to a bound.

use crate::support::Database;

/// Lanes of one row up to more than what is walked at a time, in two shards, replays among them.
const ROWS: &str = "
    INSERT INTO posthorn.pending_deliveries
           (event_id, subscription_id, generation, state, due_at, shard, transaction_id)
    SELECT posthorn.uuid_v7(), md5(lane::text)::uuid, generation, 'pending',
           '2026-01-01'::timestamptz + n * interval '1 s', lane % 2, 'T'
      FROM generate_series(1, 30) AS lane, generate_series(0, 1) AS generation,
           generate_series(1, (lane * 7 + generation * 3) % 11) AS n";

/// The lanes in which a count differs from what there is, up to the bound.
const DIFFERENT: &str = "
    WITH counted AS (
        SELECT shard, lane_id, replays, row_count, due_at FROM posthorn.count_waiting('{0, 1}', $1)
    ), there AS (
        SELECT shard, lane_id, generation > 0 AS replays, least(count(*), $1) AS row_count, min(due_at) AS due_at
          FROM posthorn.pending_deliveries GROUP BY 1, 2, 3
    )
    SELECT (SELECT count(*) FROM counted) - (SELECT count(*) FROM there)
           + (SELECT count(*) FROM (SELECT * FROM there EXCEPT SELECT * FROM counted) AS missing)";

#[tokio::test]
async fn every_lane_is_counted_up_to_the_bound_wherever_it_cuts() {
    let database = Database::new().await;
    database.execute(ROWS).await;
    for most in 1..=12 {
        let different: i64 = sqlx::query_scalar(DIFFERENT)
            .bind(most)
            .fetch_one(&database.pool)
            .await
            .unwrap();
        assert_eq!(different, 0, "up to {most}");
    }
}
