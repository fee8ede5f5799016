-- As in 0023, but in smaller steps: a quarter of a second's worth at a time was noticed by live
-- deliveries. So that each step costs little, what is open is counted only when as many have been
-- opened as there was room for.
ALTER TABLE posthorn.replays ADD COLUMN room int NOT NULL DEFAULT 0;
COMMENT ON COLUMN posthorn.replays.room IS 'So many deliveries may be opened before those that are open are counted again.';

CREATE OR REPLACE FUNCTION posthorn.advance_replays(OUT opened bigint, OUT running int, OUT wait float8)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- So that the table of open deliveries stays small, whatever the endpoints do.
    most_open CONSTANT int := 10000;
    last      CONSTANT uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    here      text := posthorn.cluster();
    r         posthorn.replays;
    page      uuid[];
    budget    int;
    step      record;
    pause     interval;
BEGIN
    opened := 0;
    IF pg_try_advisory_xact_lock(hashtext('posthorn.replays')) THEN
        FOR r IN SELECT * FROM posthorn.replays o
                  WHERE o.state IN ('running', 'cancelling')
                    AND (o.state = 'cancelling' OR o.next_at <= clock_timestamp())
                  ORDER BY o.next_at LIMIT 20 FOR UPDATE SKIP LOCKED
        LOOP
            IF r.state = 'cancelling' THEN
                UPDATE posthorn.replays o SET state = 'cancelled'
                 WHERE o.id = r.id AND NOT EXISTS (
                       SELECT FROM posthorn.pending_deliveries p WHERE p.replay_id = r.id);
                CONTINUE;
            END IF;
            IF r.room <= 0 THEN
                r.room := most_open - (SELECT count(*) FROM posthorn.pending_deliveries p WHERE p.replay_id = r.id);
                IF r.room <= 0 THEN
                    UPDATE posthorn.replays o SET next_at = clock_timestamp() + interval '1 second' WHERE o.id = r.id;
                    CONTINUE;
                END IF;
            END IF;
            -- A twentieth of a second's worth: more at a time is a burst that live deliveries notice.
            budget := greatest(1, least(500, ceil(r.rate / 20)::int));
            page := posthorn.replay_events(r, greatest(budget, 50));
            IF cardinality(page) = 0 THEN
                UPDATE posthorn.replays o SET state = 'done' WHERE o.id = r.id;
                CONTINUE;
            END IF;
            IF r.missing THEN
                -- What is behind no checkpoint yet is not missing: a worker is about to route it.
                page := page[:coalesce((
                    SELECT min(p.place) - 1 FROM unnest(page) WITH ORDINALITY AS p (id, place)
                      JOIN posthorn.events e ON e.id = p.id
                      JOIN posthorn.shards s ON s.shard = e.shard
                     WHERE s.cluster <> here OR NOT pg_visible_in_snapshot(e.xid, s.checkpoint)), cardinality(page))];
                IF cardinality(page) = 0 THEN
                    UPDATE posthorn.replays o SET next_at = clock_timestamp() + interval '1 second' WHERE o.id = r.id;
                    CONTINUE;
                END IF;
            END IF;
            WITH found AS (
                SELECT * FROM posthorn.replay_deliveries(r, page) d
                 WHERE (d.event_id, d.subscription_id) > (r.after_event, r.after_subscription)
                 ORDER BY d.event_id, d.subscription_id LIMIT budget
            ), made AS (
                INSERT INTO posthorn.pending_deliveries
                       (event_id, subscription_id, generation, template_id, shard, transaction_id,
                        state, due_at, replay_id)
                SELECT f.event_id, f.subscription_id, f.generation, f.template_id, f.shard, f.transaction_id,
                       'pending', clock_timestamp(), r.id
                  FROM found f WHERE f.hindrance IS NULL
                    ON CONFLICT DO NOTHING RETURNING 1
            )
            SELECT (SELECT count(*) FROM made) AS opened, count(*) AS found,
                   count(*) FILTER (WHERE f.hindrance = 'open') AS already_open,
                   count(*) FILTER (WHERE f.hindrance = 'purged') AS purged,
                   count(*) FILTER (WHERE f.hindrance = 'disabled') AS disabled,
                   (array_agg(f.event_id ORDER BY f.event_id DESC, f.subscription_id DESC))[1] AS event_id,
                   (array_agg(f.subscription_id ORDER BY f.event_id DESC, f.subscription_id DESC))[1] AS subscription_id
              INTO step FROM found f;
            pause := make_interval(secs => step.opened / r.rate);
            UPDATE posthorn.replays o
               SET room = r.room - step.opened, opened = o.opened + step.opened, already_open = o.already_open + step.already_open,
                   purged = o.purged + step.purged, disabled = o.disabled + step.disabled,
                   after_event = CASE WHEN step.found < budget THEN page[cardinality(page)] ELSE step.event_id END,
                   after_subscription = CASE WHEN step.found < budget THEN last ELSE step.subscription_id END,
                   -- What a late batch missed of its rate is made up for, but no more than a moment's.
                   next_at = greatest(o.next_at, clock_timestamp() - interval '250 ms') + pause
             WHERE o.id = r.id;
            opened := opened + step.opened;
        END LOOP;
    END IF;
    SELECT count(*), extract(epoch FROM min(CASE o.state WHEN 'running' THEN o.next_at END) - clock_timestamp())
      INTO running, wait FROM posthorn.replays o WHERE o.state IN ('running', 'cancelling');
END $$;

-- Planning it took longer than running it, for a page of a step. Each of its look-ups has one way
-- to go, so one plan does for all of them.
ALTER FUNCTION posthorn.replay_deliveries SET plan_cache_mode = force_generic_plan;
