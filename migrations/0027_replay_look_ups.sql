-- As in 0023, but each look-up has one way to go. The one plan that 0026 had made for all pages
-- went through the deliveries of the page for each subscription there is; a plan for each page
-- takes longer than the page. The page's bounds leave out the days it is not of before they are
-- set up: with 120 of them that took four times as long as the page. And what a subscription misses
-- that is disabled is found too, and passed over, so that a preview shows it before it is enabled.
CREATE OR REPLACE FUNCTION posthorn.replay_deliveries(r posthorn.replays, events uuid[])
    RETURNS TABLE (event_id uuid, subscription_id uuid, template_id uuid, generation int, shard smallint,
                   merchant text, subscription text, transaction_id text, state text, hindrance text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- In their order.
    first_event uuid := events[1];
    last_event  uuid := events[cardinality(events)];
BEGIN
    RETURN QUERY
    WITH page AS MATERIALIZED (
        SELECT e.id, e.shard, e.merchant, e.transaction_id, e.kind, e.status, e.created_at, e.purged_at
          FROM unnest(events) AS p (id)
         CROSS JOIN LATERAL (
               SELECT v.* FROM posthorn.events v
                WHERE v.id = p.id AND v.id BETWEEN first_event AND last_event OFFSET 0) AS e
    ), wanted AS (
        SELECT page.*, d.subscription_id, t.template_id, d.generation + 1 AS generation,
               d.state::text AS state, t.ended_at
          FROM page
         CROSS JOIN LATERAL (
               SELECT DISTINCT ON (l.subscription_id) l.subscription_id, l.generation, l.state
                 FROM posthorn.deliveries l
                WHERE l.event_id = page.id AND l.event_id BETWEEN first_event AND last_event
                ORDER BY l.subscription_id, l.generation DESC OFFSET 0) AS d
          LEFT JOIN LATERAL (
               SELECT v.template_id, v.ended_at FROM posthorn.transaction_subscriptions v
                WHERE v.id = d.subscription_id OFFSET 0) AS t ON true
         WHERE d.state = ANY (r.states)
        UNION ALL
        SELECT page.*, s.id, s.template_id, 1, 'missing', NULL
          FROM page
         CROSS JOIN LATERAL (
               SELECT coalesce(t.id, o.id) AS id, CASE WHEN t.id IS NOT NULL THEN o.id END AS template_id
                 FROM posthorn.routes_of(page.merchant) o
                 LEFT JOIN LATERAL (
                      SELECT v.id FROM posthorn.transaction_subscriptions v
                       WHERE o.scope = 'transaction' AND v.template_id = o.id AND v.merchant = page.merchant
                         AND v.transaction_id = page.transaction_id AND v.created_at <= page.created_at
                         AND v.ended_at IS NULL OFFSET 0) AS t ON true
                WHERE (o.scope = 'merchant' OR t.id IS NOT NULL)
                  AND posthorn.any_matches(o.kinds, page.kind) AND posthorn.any_matches(o.statuses, page.status)
                  AND (o.emit = 'every' OR page.status IS DISTINCT FROM (
                       SELECT v.status FROM posthorn.events v
                        WHERE v.transaction_id = page.transaction_id AND v.merchant = page.merchant
                          AND v.id < page.id
                        ORDER BY v.id DESC LIMIT 1))) AS s
         WHERE r.missing
           AND NOT EXISTS (SELECT FROM posthorn.deliveries l
                            WHERE l.event_id = page.id AND l.subscription_id = s.id
                              AND l.event_id BETWEEN first_event AND last_event OFFSET 0)
           AND NOT EXISTS (SELECT FROM posthorn.pending_deliveries l
                            WHERE l.event_id = page.id AND l.subscription_id = s.id OFFSET 0)
    )
    SELECT w.id, w.subscription_id, w.template_id, w.generation, w.shard, w.merchant, s.name,
           w.transaction_id, w.state,
           CASE WHEN EXISTS (SELECT FROM posthorn.pending_deliveries l
                              WHERE l.event_id = w.id AND l.subscription_id = w.subscription_id OFFSET 0)
                THEN 'open'
                WHEN w.purged_at IS NOT NULL THEN 'purged'
                WHEN NOT s.enabled OR s.gone_at IS NOT NULL OR w.ended_at IS NOT NULL THEN 'disabled' END
      FROM wanted w
     CROSS JOIN LATERAL (
           SELECT v.* FROM posthorn.subscriptions v
            WHERE v.id = coalesce(w.template_id, w.subscription_id) OFFSET 0) AS s
     WHERE r.subscription_id IS NULL OR s.id = r.subscription_id
     ORDER BY w.id, w.subscription_id;
END $$;
