//! Which subscriptions are to be read: those that a change concerns, those of merchants, and those
//! of shards. However many there are in all, nothing here walks through the others.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::super::{Pool, StoreError};
use crate::flow::subscriptions::{Changed, Place};

/// Rows that are read at a time: they take several times what stays of them.
pub const PAGE: usize = 1000;

/// The merchants whose subscriptions changed after `revision`: themselves, by their profile, or by
/// a lock that holds for them or did so before. More than a thousand are not told one by one.
///
/// A lock's reach is that of its versions: of those since, and of the last one before.
pub async fn find_changed(pool: &Pool, revision: i64) -> Result<Changed, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"
        WITH reached AS MATERIALIZED (
            SELECT NULL AS merchant, p.name AS profile FROM posthorn.profiles p WHERE p.revision > $1
             UNION ALL
            SELECT h.settings ->> 'merchant', h.settings ->> 'profile'
              FROM (SELECT DISTINCT new.subject FROM posthorn.config_history new
                     WHERE (SELECT c.locks_revision FROM posthorn.config_revision c) > $1
                       AND new.kind = 'lock' AND new.revision > $1) AS changed
             CROSS JOIN LATERAL (
                SELECT v.settings FROM posthorn.config_history v
                 WHERE v.kind = 'lock' AND v.subject = changed.subject
                   AND v.revision >= coalesce((
                       SELECT before.revision FROM posthorn.config_history before
                        WHERE before.kind = 'lock' AND before.subject = changed.subject
                          AND before.revision <= $1
                        ORDER BY before.revision DESC LIMIT 1), 0)
                OFFSET 0) AS h
             WHERE h.settings IS NOT NULL
        )
        (SELECT s.merchant FROM posthorn.subscriptions s
          WHERE s.revision > $1 ORDER BY s.revision LIMIT 1001)
        UNION ALL
        SELECT of_profile.merchant FROM reached r
         CROSS JOIN LATERAL (
            SELECT s.merchant FROM posthorn.subscriptions s WHERE s.profile = r.profile LIMIT 1001) AS of_profile
         WHERE r.merchant IS NULL
        UNION ALL
        -- NULL: all of them.
        SELECT r.merchant FROM reached r WHERE r.merchant IS NOT NULL OR r.profile IS NULL
        LIMIT 1001
        "#,
        revision,
    )
    .fetch_all(pool)
    .await?;
    if rows.len() > PAGE {
        return Ok(Changed::Any);
    }
    let merchants: Option<BTreeSet<String>> = rows.into_iter().collect();
    Ok(merchants.map_or(Changed::Any, Changed::Merchants))
}

/// The ids of the subscriptions of these merchants.
pub async fn find_of_merchants(pool: &Pool, merchants: &[String]) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM posthorn.subscriptions WHERE merchant = ANY ($1)",
        merchants
    )
    .fetch_all(pool)
    .await?)
}

/// The merchants that these subscriptions are of.
pub async fn find_merchants_of(pool: &Pool, ids: &[Uuid]) -> Result<Vec<String>, StoreError> {
    let merchants = sqlx::query_scalar!(
        r#"
        SELECT s.merchant AS "merchant!" FROM unnest($1::uuid[]) AS wanted (id)
         CROSS JOIN LATERAL (
            SELECT s.merchant FROM posthorn.subscriptions s WHERE s.id = wanted.id OFFSET 0) AS s
        "#,
        ids
    )
    .fetch_all(pool)
    .await?;
    let merchants: BTreeSet<String> = merchants.into_iter().collect();
    Ok(merchants.into_iter().collect())
}

/// The next page of ids of the shards' subscriptions, as many of each as of the others; `places`
/// moves on, and is empty after the last page.
pub async fn find_of_shards(pool: &Pool, places: &mut Vec<Place>) -> Result<Vec<Uuid>, StoreError> {
    let most = PAGE / places.len().max(1) + 1;
    let (shards, after): (Vec<i16>, Vec<Uuid>) = places
        .iter()
        .map(|place| (place.shard.0, place.after))
        .unzip();
    let rows = sqlx::query!(
        r#"
        SELECT place.shard AS "shard!", s.id FROM unnest($1::smallint[], $2::uuid[]) AS place (shard, after)
         CROSS JOIN LATERAL (
            -- The row comparison and the order by both columns leave one index to choose.
            SELECT s.id FROM posthorn.subscriptions s
             WHERE posthorn.shard_of(s.merchant) = place.shard
               AND (posthorn.shard_of(s.merchant), s.id::text COLLATE "C") > (place.shard, place.after::text)
             ORDER BY posthorn.shard_of(s.merchant), s.id::text COLLATE "C" LIMIT $3) AS s
        "#,
        &shards,
        &after,
        i64::try_from(most).unwrap_or(i64::MAX),
    )
    .fetch_all(pool)
    .await?;
    places.retain_mut(|place| {
        let of_place = rows.iter().filter(|row| row.shard == place.shard.0);
        let (count, last) = of_place.fold((0, None), |(count, _), row| (count + 1, Some(row.id)));
        place.after = last.unwrap_or(place.after);
        count >= most
    });
    Ok(rows.into_iter().map(|row| row.id).collect())
}
