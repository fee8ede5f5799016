-- Deliveries that somebody asks for again. A replay is a row that workers carry out; it opens
-- new generations, and rewrites nothing.

CREATE TABLE posthorn.replays (
    id                 uuid                      NOT NULL DEFAULT posthorn.uuid_v7(),
    state              text                      NOT NULL DEFAULT 'running'
                       CHECK (state IN ('running', 'paused', 'done', 'cancelling', 'cancelled')),
    created_at         timestamptz               NOT NULL DEFAULT now(),
    created_by         text                      NOT NULL DEFAULT session_user,
    changed_at         timestamptz               NOT NULL DEFAULT now(),
    merchant           text,
    subscription_id    uuid,
    transaction_id     text,
    event_id           uuid,
    states             posthorn.delivery_state[] NOT NULL
                       CHECK (states <@ '{delivered,posting_error,superseded,cancelled}'::posthorn.delivery_state[]),
    missing            boolean                   NOT NULL,
    since              timestamptz               NOT NULL,
    until              timestamptz               NOT NULL,
    rate               float8                    NOT NULL CHECK (rate BETWEEN 0.01 AND 10000),
    after_event        uuid                      NOT NULL,
    after_subscription uuid                      NOT NULL,
    next_at            timestamptz               NOT NULL DEFAULT now(),
    opened             bigint                    NOT NULL DEFAULT 0,
    already_open       bigint                    NOT NULL DEFAULT 0,
    purged             bigint                    NOT NULL DEFAULT 0,
    disabled           bigint                    NOT NULL DEFAULT 0,
    room               int                       NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    CONSTRAINT replays_ask_for_something CHECK (missing OR cardinality(states) > 0),
    CONSTRAINT replays_since_is_before_until CHECK (since < until)
);
COMMENT ON TABLE posthorn.replays IS 'What somebody asked to be delivered again. posthorn.replay() makes one; UPDATE … SET state = ''paused'', ''running'' or ''cancelling'' steers it.';
COMMENT ON COLUMN posthorn.replays.id IS 'UUID version 7.';
COMMENT ON COLUMN posthorn.replays.state IS 'running; paused; done: everything is opened, if not delivered; cancelling: what it opened is being withdrawn; cancelled.';
COMMENT ON COLUMN posthorn.replays.created_at IS 'When it was asked for.';
COMMENT ON COLUMN posthorn.replays.created_by IS 'The database role that asked for it.';
COMMENT ON COLUMN posthorn.replays.changed_at IS 'When its state last changed.';
COMMENT ON COLUMN posthorn.replays.merchant IS 'Only this merchant''s; NULL: every one''s.';
COMMENT ON COLUMN posthorn.replays.subscription_id IS 'Only to this subscription, or to the endpoints of this template.';
COMMENT ON COLUMN posthorn.replays.transaction_id IS 'Only of this transaction.';
COMMENT ON COLUMN posthorn.replays.event_id IS 'Only of this event.';
COMMENT ON COLUMN posthorn.replays.states IS 'Deliveries whose last generation ended so.';
COMMENT ON COLUMN posthorn.replays.missing IS 'Events that a subscription wants now and never got, because it was disabled or not there yet.';
COMMENT ON COLUMN posthorn.replays.since IS 'Only of events inserted since then.';
COMMENT ON COLUMN posthorn.replays.until IS 'Only of events inserted before then.';
COMMENT ON COLUMN posthorn.replays.rate IS 'The most deliveries that it opens a second, over all workers.';
COMMENT ON COLUMN posthorn.replays.after_event IS 'How far it is: the events before this one are done.';
COMMENT ON COLUMN posthorn.replays.after_subscription IS 'Of the event in after_event, the subscriptions up to this one are done.';
COMMENT ON COLUMN posthorn.replays.next_at IS 'It opens nothing before then: the rate.';
COMMENT ON COLUMN posthorn.replays.opened IS 'Deliveries that it has opened.';
COMMENT ON COLUMN posthorn.replays.already_open IS 'Passed over: an earlier generation was still open.';
COMMENT ON COLUMN posthorn.replays.purged IS 'Passed over: the event''s payload was purged.';
COMMENT ON COLUMN posthorn.replays.disabled IS 'Passed over: the subscription was disabled.';
COMMENT ON COLUMN posthorn.replays.room IS 'So many deliveries may be opened before those that are open are counted again.';

CREATE INDEX replays_under_way
    ON posthorn.replays (next_at) WHERE state IN ('running', 'cancelling');
COMMENT ON INDEX posthorn.replays_under_way IS 'Workers look for what to do by it.';

CREATE FUNCTION posthorn.guard_replay() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One that has opened everything can still be cancelled: much of it may wait.
    IF NEW.state <> OLD.state
       AND (OLD.state = 'cancelled' OR (OLD.state = 'done' AND NEW.state <> 'cancelling')
            OR (OLD.state = 'cancelling' AND NEW.state <> 'cancelled')) THEN
        RAISE EXCEPTION 'the replay % is %; it cannot become %', OLD.id, OLD.state, NEW.state
            USING HINT = 'Ask for another one: SELECT posthorn.replay(…).';
    END IF;
    IF NEW.state <> OLD.state THEN
        NEW.changed_at := now();
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.guard_replay IS 'Trigger: a replay that has ended stays so.';
CREATE TRIGGER guard_replay BEFORE UPDATE ON posthorn.replays
    FOR EACH ROW EXECUTE FUNCTION posthorn.guard_replay();

CREATE FUNCTION posthorn.any_matches(patterns text[], value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN patterns IS NULL OR EXISTS (
        SELECT FROM unnest(patterns) AS p (pattern)
         WHERE value LIKE replace(replace(replace(replace(p.pattern, E'\\', E'\\\\'), '%', E'\\%'), '_', E'\\_'), '*', '%'));
COMMENT ON FUNCTION posthorn.any_matches IS 'Whether one of the patterns of kinds or statuses fits: * is any run of characters; NULL fits all.';

CREATE FUNCTION posthorn.routes_of(merchant text)
    RETURNS TABLE (id uuid, enabled boolean, scope text, emit text, kinds text[], statuses text[])
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id, s.enabled AND s.gone_at IS NULL,
           coalesce(l.o ->> 'scope', s.scope, p.scope, 'merchant'),
           coalesce(l.o ->> 'emit', s.emit, p.emit, 'every'),
           coalesce((SELECT array_agg(k) FROM jsonb_array_elements_text(l.o -> 'kinds') k), s.kinds, p.kinds),
           coalesce((SELECT array_agg(k) FROM jsonb_array_elements_text(l.o -> 'statuses') k), s.statuses, p.statuses)
      FROM posthorn.subscriptions s
      LEFT JOIN posthorn.profiles p ON p.name = s.profile
     CROSS JOIN LATERAL (
           -- Of the locks that say something the closest one wins, key by key.
           SELECT jsonb_object_agg(c.key, c.value) AS o
             FROM (SELECT DISTINCT ON (x.key) x.key, x.value
                     FROM posthorn.locks k,
                          jsonb_each(jsonb_strip_nulls(jsonb_build_object('scope', k.scope, 'emit', k.emit,
                              'kinds', to_jsonb(k.kinds), 'statuses', to_jsonb(k.statuses)))) AS x
                    WHERE (k.merchant IS NULL OR k.merchant = s.merchant)
                      AND (k.profile IS NULL OR k.profile = s.profile)
                    ORDER BY x.key, k.merchant IS NULL, k.profile IS NULL, k.name) AS c) AS l
     WHERE s.merchant = $1
$$;
COMMENT ON FUNCTION posthorn.routes_of IS 'The merchant''s subscriptions with what decides which events they get, by lock, subscription and profile.';

CREATE FUNCTION posthorn.replay_request(
    merchant text, subscription text, transaction_id text, event_id uuid, states text[],
    since timestamptz, until timestamptz, rate float8
) RETURNS posthorn.replays LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r     posthorn.replays;
    known text[] := '{delivered,posting_error,superseded,cancelled,missing}';
    wrong text;
    names text;
BEGIN
    r.merchant := $1;
    r.transaction_id := $3;
    r.event_id := $4;
    IF $1 IS NULL AND $2 IS NULL AND $3 IS NULL AND $4 IS NULL AND $6 IS NULL THEN
        RAISE EXCEPTION 'this would replay everything'
            USING HINT = 'Give a merchant, a subscription, a transaction, an event, or since.';
    END IF;
    IF $2 IS NOT NULL THEN
        SELECT s.id, s.merchant INTO r.subscription_id, r.merchant FROM posthorn.subscriptions s
         WHERE ($1 IS NULL OR s.merchant = $1)
           AND (s.id::text = lower($2) OR ($1 IS NOT NULL AND s.name = $2));
        IF NOT FOUND THEN
            SELECT string_agg(s.name, ', ' ORDER BY s.name) INTO names
              FROM posthorn.subscriptions s WHERE s.merchant = $1;
            RAISE EXCEPTION 'there is no subscription %', quote_literal($2)
                USING HINT = CASE WHEN $1 IS NULL THEN 'Give its id, or its merchant as well.'
                                  ELSE 'The merchant has ' || coalesce(names, 'none') || '.' END;
        END IF;
    ELSIF $1 IS NOT NULL AND NOT EXISTS (SELECT FROM posthorn.subscriptions s WHERE s.merchant = $1) THEN
        RAISE EXCEPTION 'the merchant % has no subscription', quote_literal($1)
            USING HINT = 'Look into posthorn.subscriptions.';
    END IF;
    SELECT s INTO wrong FROM unnest($5) AS s WHERE s <> ALL (known) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is no state that can be replayed', quote_literal(wrong)
            USING HINT = 'Give some of ' || array_to_string(known, ', ') || '.';
    END IF;
    -- What a newer event took the place of is sent again only if it is named.
    r.states := array_remove(coalesce(nullif($5, '{}'), '{delivered,posting_error,cancelled}'), 'missing')::posthorn.delivery_state[];
    r.missing := coalesce('missing' = ANY ($5), false);
    IF NOT coalesce($8, 100) BETWEEN 0.01 AND 10000 THEN
        RAISE EXCEPTION 'the rate is %', $8 USING HINT = 'Give 0.01 to 10000 a second.';
    END IF;
    r.rate := coalesce($8, 100);
    r.since := greatest(coalesce($6, '-infinity'), '1970-01-01Z');
    r.until := least(coalesce($7, 'infinity'), clock_timestamp());
    -- As narrow as can be known: days that it has still to read are kept for it.
    IF $4 IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM posthorn.events e WHERE e.id = $4) THEN
            RAISE EXCEPTION 'there is no event %', $4;
        END IF;
        r.since := greatest(r.since, posthorn.uuid_time($4) - interval '1 ms');
        r.until := least(r.until, posthorn.uuid_time($4) + interval '1 ms');
    ELSIF $3 IS NOT NULL THEN
        SELECT greatest(r.since, min(posthorn.uuid_time(e.id)) - interval '1 ms') INTO r.since
          FROM posthorn.events e
         WHERE e.transaction_id = $3 AND (r.merchant IS NULL OR e.merchant = r.merchant);
        IF r.since IS NULL OR NOT EXISTS (
            SELECT FROM posthorn.events e
             WHERE e.transaction_id = $3 AND (r.merchant IS NULL OR e.merchant = r.merchant)) THEN
            RAISE EXCEPTION 'there is no event of the transaction %', quote_literal($3);
        END IF;
    END IF;
    IF r.since >= r.until THEN
        RAISE EXCEPTION 'since (%) is not before until (%)', r.since, r.until;
    END IF;
    r.after_event := posthorn.uuid_floor(r.since);
    r.after_subscription := '00000000-0000-0000-0000-000000000000';
    RETURN r;
END $$;
COMMENT ON FUNCTION posthorn.replay_request IS 'A replay that is not in the table yet; refuses what makes no sense.';

CREATE FUNCTION posthorn.replay(
    merchant text DEFAULT NULL, subscription text DEFAULT NULL, transaction_id text DEFAULT NULL,
    event_id uuid DEFAULT NULL, states text[] DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, rate float8 DEFAULT 100
) RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r    posthorn.replays := posthorn.replay_request($1, $2, $3, $4, $5, $6, $7, $8);
    made uuid;
BEGIN
    INSERT INTO posthorn.replays (merchant, subscription_id, transaction_id, event_id, states, missing,
                                  since, until, rate, after_event, after_subscription)
    VALUES (r.merchant, r.subscription_id, r.transaction_id, r.event_id, r.states, r.missing,
            r.since, r.until, r.rate, r.after_event, r.after_subscription)
    RETURNING id INTO made;
    RETURN made;
END $$;
COMMENT ON FUNCTION posthorn.replay IS
    'Asks for deliveries to be made again; returns the replay''s id. subscription: its id, or its name beside the merchant. states: delivered, posting_error, superseded, cancelled, and missing for events that it never got; without it all but superseded and missing. rate: deliveries a second.';

-- With a plan for its very filter, and never a scan of a table that was small once.
CREATE FUNCTION posthorn.replay_events(r posthorn.replays, most int) RETURNS uuid[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    beyond uuid := posthorn.uuid_floor(r.until);
    entire boolean := r.after_subscription = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
BEGIN
    IF r.missing OR 'delivered' = ANY (r.states) OR r.transaction_id IS NOT NULL OR r.event_id IS NOT NULL THEN
        RETURN ARRAY(
            SELECT e.id FROM posthorn.events e
             WHERE e.id >= r.after_event AND (NOT entire OR e.id > r.after_event) AND e.id < beyond
               AND (r.merchant IS NULL OR e.merchant = r.merchant)
               AND (r.transaction_id IS NULL OR e.transaction_id = r.transaction_id)
               AND (r.event_id IS NULL OR e.id = r.event_id)
             ORDER BY e.id LIMIT most);
    END IF;
    RETURN ARRAY(
        SELECT DISTINCT d.event_id FROM posthorn.deliveries d
         WHERE d.state <> 'delivered' AND d.state = ANY (r.states)
           AND d.event_id >= r.after_event AND (NOT entire OR d.event_id > r.after_event) AND d.event_id < beyond
           AND (r.merchant IS NULL OR EXISTS (
                SELECT FROM posthorn.events e WHERE e.id = d.event_id AND e.merchant = r.merchant OFFSET 0))
         ORDER BY d.event_id LIMIT most);
END $$;
COMMENT ON FUNCTION posthorn.replay_events IS 'The next events that a replay looks at, oldest first.';

-- Each look-up has one way to go. One plan for all pages, with joins to choose, went through the
-- deliveries of the page for each subscription there is; a plan for each page takes longer than the
-- page. The page's bounds leave out the days it is not of before they are set up: with 120 of them
-- that took four times as long as the page. What a subscription misses that is disabled is found
-- too, and passed over, so that a preview shows it before it is enabled.
CREATE FUNCTION posthorn.replay_deliveries(r posthorn.replays, events uuid[])
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
COMMENT ON FUNCTION posthorn.replay_deliveries IS 'What a replay would open for these events, and what hinders it.';

-- A page at a time: a million events never stand in memory at once.
CREATE FUNCTION posthorn.preview_replay(
    merchant text DEFAULT NULL, subscription text DEFAULT NULL, transaction_id text DEFAULT NULL,
    event_id uuid DEFAULT NULL, states text[] DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL
) RETURNS TABLE (of_merchant text, to_subscription text, state text, hindrance text, deliveries bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r      posthorn.replays := posthorn.replay_request($1, $2, $3, $4, $5, $6, $7, NULL);
    counts jsonb := '{}';
    page   uuid[];
BEGIN
    LOOP
        page := posthorn.replay_events(r, 5000);
        EXIT WHEN cardinality(page) = 0;
        SELECT coalesce(jsonb_object_agg(c.key, c.n), '{}') INTO counts
          FROM (SELECT b.key, sum(b.n) AS n
                  FROM (SELECT k.key, k.value::bigint AS n FROM jsonb_each_text(counts) AS k
                        UNION ALL
                        SELECT jsonb_build_array(d.merchant, d.subscription, d.state, d.hindrance)::text, count(*)
                          FROM posthorn.replay_deliveries(r, page) AS d GROUP BY 1) AS b
                 GROUP BY b.key) AS c;
        r.after_event := page[cardinality(page)];
        r.after_subscription := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    END LOOP;
    RETURN QUERY
    SELECT k.key::jsonb ->> 0, k.key::jsonb ->> 1, k.key::jsonb ->> 2, k.key::jsonb ->> 3, k.value::bigint
      FROM jsonb_each_text(counts) AS k ORDER BY 1, 2, 3, 4;
END $$;
COMMENT ON FUNCTION posthorn.preview_replay IS
    'What posthorn.replay() with the same filter would open now, by merchant, subscription and last state; with a hindrance (open, purged, disabled) it would be passed over.';

-- One worker at a time, for a batch: under the lock every statement sees what the batch
-- before it opened, so no generation is opened twice. Cursor and deliveries are written
-- together, so neither is a batch lost or repeated, whatever happens to the worker. So that each
-- small step costs little, what is open is counted only when as many have been opened as there was
-- room for.
CREATE FUNCTION posthorn.advance_replays(OUT opened bigint, OUT running int, OUT wait float8)
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
COMMENT ON FUNCTION posthorn.advance_replays IS
    'Opens the next batch of each running replay that is due; returns how many deliveries it opened, how many replays are under way, and in how many seconds the next batch is due.';
