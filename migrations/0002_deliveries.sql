-- What became of each event for each subscription. The success path only appends to deliveries,
-- which is the ledger, and to attempts; exceptions live in pending_deliveries until they end.
-- Ledger and attempts are what a dispute asks for: what was sent, to whom, under which settings,
-- in rows that say so and that nobody changes.

CREATE TYPE posthorn.delivery_state AS ENUM
    ('pending', 'pending_retry', 'delivered', 'posting_error', 'superseded', 'cancelled');
COMMENT ON TYPE posthorn.delivery_state IS 'The first two are open, the others final.';
CREATE TYPE posthorn.outcome_class AS ENUM
    ('ok', 'status', 'body_rule', 'dns', 'connect', 'tls', 'timeout', 'protocol', 'refused',
     -- No access token could be had.
     'token');
COMMENT ON TYPE posthorn.outcome_class IS 'What an attempt came to.';

-- Open deliveries.

CREATE TABLE posthorn.pending_deliveries (
    event_id         uuid                    NOT NULL,
    subscription_id  uuid                    NOT NULL,
    generation       int                     NOT NULL DEFAULT 0 CHECK (generation >= 0),
    state            posthorn.delivery_state NOT NULL,
    attempts         int                     NOT NULL DEFAULT 0,
    turned_away      int                     NOT NULL DEFAULT 0,
    due_at           timestamptz             NOT NULL,
    lane_waits_until timestamptz,
    opened_at        timestamptz             NOT NULL DEFAULT clock_timestamp(),
    shard            smallint                NOT NULL,
    transaction_id   text                    NOT NULL,
    reason           text,
    template_id      uuid,
    lane_id          uuid                    NOT NULL GENERATED ALWAYS AS (coalesce(template_id, subscription_id)) STORED,
    replay_id        uuid,
    PRIMARY KEY (event_id, subscription_id, generation),
    CONSTRAINT pending_deliveries_turned_away_are_attempts CHECK (turned_away BETWEEN 0 AND attempts),
    CONSTRAINT pending_deliveries_state_fits_attempts CHECK (
        (state = 'pending' AND attempts = 0 AND reason IS NULL)
        OR (state = 'pending_retry' AND attempts >= 1 AND reason IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE posthorn.pending_deliveries IS 'Open deliveries that wait in the database: retries, and the overflow of slow endpoints.';
COMMENT ON COLUMN posthorn.pending_deliveries.event_id IS 'The event.';
COMMENT ON COLUMN posthorn.pending_deliveries.subscription_id IS 'The subscription, or the transaction''s subscription.';
COMMENT ON COLUMN posthorn.pending_deliveries.generation IS '0, or the number of the replay.';
COMMENT ON COLUMN posthorn.pending_deliveries.state IS 'pending: not tried yet; pending_retry: failed and waits.';
COMMENT ON COLUMN posthorn.pending_deliveries.attempts IS 'Attempts made so far.';
COMMENT ON COLUMN posthorn.pending_deliveries.turned_away IS 'Of those, the ones that the receiver turned away with 429 or 503 and a Retry-After: they use up none of the attempts that the subscription allows.';
COMMENT ON COLUMN posthorn.pending_deliveries.due_at IS 'Not before this; lanes take the earliest first.';
COMMENT ON COLUMN posthorn.pending_deliveries.lane_waits_until IS 'The receiver said with the last attempt that it takes nothing before then: nothing is sent to the subscription.';
COMMENT ON COLUMN posthorn.pending_deliveries.opened_at IS 'When the row was made.';
COMMENT ON COLUMN posthorn.pending_deliveries.shard IS 'The merchant''s shard: who may change the row.';
COMMENT ON COLUMN posthorn.pending_deliveries.transaction_id IS 'For order and supersede.';
COMMENT ON COLUMN posthorn.pending_deliveries.reason IS 'Why the last attempt failed.';
COMMENT ON COLUMN posthorn.pending_deliveries.template_id IS 'Of a transaction''s subscription: its template.';
COMMENT ON COLUMN posthorn.pending_deliveries.lane_id IS 'The subscription whose lane it takes.';
COMMENT ON COLUMN posthorn.pending_deliveries.replay_id IS 'The replay that opened it.';

CREATE INDEX pending_deliveries_lane_waits
    ON posthorn.pending_deliveries (shard, lane_id, lane_waits_until) WHERE lane_waits_until IS NOT NULL;
COMMENT ON INDEX posthorn.pending_deliveries_lane_waits IS 'Whoever takes a shard over finds by it how long a lane was told to wait.';
-- Replays have an index of their own, so that lanes can take live deliveries first.
CREATE INDEX pending_deliveries_due
    ON posthorn.pending_deliveries (shard, lane_id, due_at, event_id) WHERE generation = 0;
COMMENT ON INDEX posthorn.pending_deliveries_due IS 'Refill takes each lane''s earliest from it.';
CREATE INDEX pending_deliveries_replayed
    ON posthorn.pending_deliveries (shard, lane_id, due_at, event_id) WHERE generation > 0;
COMMENT ON INDEX posthorn.pending_deliveries_replayed IS 'Refill takes each lane''s earliest replays from it, when nothing else is to do.';
CREATE INDEX pending_deliveries_replay
    ON posthorn.pending_deliveries (replay_id) WHERE replay_id IS NOT NULL;
COMMENT ON INDEX posthorn.pending_deliveries_replay IS 'Counts what a replay has open.';
-- The open deliveries of a subscription's transaction, by one expression. Under the columns
-- themselves a look-up by the table's key could take this index as well: while the table is
-- empty, which it is as a rule, both cost the planner the same, and a session that had planned
-- then walked through all of a subscription's deliveries for each one that ended.
CREATE INDEX pending_deliveries_series
    ON posthorn.pending_deliveries ((subscription_id::text || transaction_id));
COMMENT ON INDEX posthorn.pending_deliveries_series IS
    'Finds the open deliveries of a subscription''s transaction. A UUID''s text has 36 characters always.';

-- Along the index, `most` rows at a time: a lane that fills them all has at least so many, and its
-- others are stepped over. So an endpoint that has been down for hours costs what one costs that
-- has been for a minute.
CREATE FUNCTION posthorn.count_waiting(shards smallint[], most int)
    RETURNS TABLE (shard smallint, lane_id uuid, replays boolean, row_count bigint, due_at timestamptz)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
DECLARE
    lane   record;
    after  uuid;
    walked bigint;
BEGIN
    FOR shard, replays IN
        SELECT s.shard, r.replays FROM unnest(shards) AS s (shard), unnest('{false, true}'::boolean[]) AS r (replays)
    LOOP
        after := '00000000-0000-0000-0000-000000000000';
        LOOP
            walked := 0;
            lane_id := NULL;
            FOR lane IN
                SELECT w.lane_id, count(*) AS row_count, min(w.due_at) AS due_at
                  FROM ((SELECT p.lane_id, p.due_at FROM posthorn.pending_deliveries p
                          WHERE NOT count_waiting.replays AND p.generation = 0
                            AND p.shard = count_waiting.shard AND p.lane_id > after
                          ORDER BY p.lane_id, p.due_at, p.event_id LIMIT most)
                        UNION ALL
                        (SELECT p.lane_id, p.due_at FROM posthorn.pending_deliveries p
                          WHERE count_waiting.replays AND p.generation > 0
                            AND p.shard = count_waiting.shard AND p.lane_id > after
                          ORDER BY p.lane_id, p.due_at, p.event_id LIMIT most)) AS w
                 GROUP BY w.lane_id ORDER BY w.lane_id
            LOOP
                IF lane_id IS NOT NULL THEN
                    after := lane_id;
                    RETURN NEXT;
                END IF;
                lane_id := lane.lane_id;
                row_count := lane.row_count;
                due_at := lane.due_at;
                walked := walked + row_count;
            END LOOP;
            -- The last may be cut: it is walked again as the first, unless it was that.
            IF lane_id IS NOT NULL AND (walked < most OR row_count = most) THEN
                after := lane_id;
                RETURN NEXT;
            END IF;
            EXIT WHEN walked < most;
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.count_waiting IS
    'The open deliveries of each lane of some shards, and its replays apart: how many, up to most, and when the first is due.';

-- The ledger.

CREATE TABLE posthorn.deliveries (
    event_id        uuid                    NOT NULL,
    subscription_id uuid                    NOT NULL,
    finished_at     timestamptz             NOT NULL DEFAULT clock_timestamp(),
    generation      int                     NOT NULL DEFAULT 0 CHECK (generation >= 0),
    attempts        int                     NOT NULL CHECK (attempts >= 0),
    state           posthorn.delivery_state NOT NULL,
    reason          text,
    reason_digest   bytea                   CHECK (octet_length(reason_digest) = 32),
    PRIMARY KEY (event_id, subscription_id, generation),
    CONSTRAINT deliveries_state_is_final CHECK (
        (state = 'delivered' AND attempts >= 1 AND num_nonnulls(reason, reason_digest) = 0)
        OR (state IN ('posting_error', 'superseded', 'cancelled') AND num_nonnulls(reason, reason_digest) = 1))
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE posthorn.deliveries IS 'The ledger: one row per delivery that ended, append-only, in the partition of its event''s day.';
COMMENT ON COLUMN posthorn.deliveries.event_id IS 'The event.';
COMMENT ON COLUMN posthorn.deliveries.subscription_id IS 'The subscription, or the transaction''s subscription.';
COMMENT ON COLUMN posthorn.deliveries.finished_at IS 'When the final state was written.';
COMMENT ON COLUMN posthorn.deliveries.generation IS '0, or the number of the replay.';
COMMENT ON COLUMN posthorn.deliveries.attempts IS 'Attempts made in all.';
COMMENT ON COLUMN posthorn.deliveries.state IS 'delivered, posting_error, superseded or cancelled.';
COMMENT ON COLUMN posthorn.deliveries.reason IS 'Why it was not delivered; NULL when it was, or when the reason was purged.';
COMMENT ON COLUMN posthorn.deliveries.reason_digest IS 'SHA-256 of reason, since that was purged.';
CREATE TABLE posthorn.deliveries_default PARTITION OF posthorn.deliveries DEFAULT;
COMMENT ON TABLE posthorn.deliveries_default IS 'Catches what no daily partition takes.';

-- In the order of writing as good as sorted, so a few bytes find a day's rows.
CREATE INDEX deliveries_finished ON posthorn.deliveries USING brin (finished_at);
COMMENT ON INDEX posthorn.deliveries_finished IS 'Seals read a day''s rows by it.';
-- Of the ledger only exceptions are indexed: a delivery that succeeds pays a comparison.
CREATE INDEX deliveries_exceptions
    ON posthorn.deliveries (event_id, subscription_id, generation) WHERE state <> 'delivered';
COMMENT ON INDEX posthorn.deliveries_exceptions IS 'Finds what was not delivered, newest first.';

-- Attempts.

CREATE TABLE posthorn.attempts (
    event_id        uuid                   NOT NULL,
    subscription_id uuid                   NOT NULL,
    started_at      timestamptz            NOT NULL,
    generation      int                    NOT NULL DEFAULT 0 CHECK (generation >= 0),
    number          int                    NOT NULL CHECK (number >= 1),
    duration_us     int                    NOT NULL CHECK (duration_us >= 0),
    outcome         posthorn.outcome_class NOT NULL,
    http_status     smallint               CHECK (http_status BETWEEN 100 AND 999),
    reason          text,
    reason_digest   bytea                  CHECK (octet_length(reason_digest) = 32),
    body            text                   CHECK (octet_length(body) <= 2048),
    recorded_at     timestamptz            NOT NULL DEFAULT clock_timestamp(),
    revision        bigint,
    tls             smallint,
    peer            inet,
    proxy           inet,
    head_digest     bytea,
    payload_digest  bytea,
    answer_digest   bytea,
    PRIMARY KEY (event_id, subscription_id, generation, number),
    CONSTRAINT attempts_status_fits_outcome CHECK (
        (http_status IS NOT NULL) = (outcome IN ('ok', 'status', 'body_rule'))),
    CONSTRAINT attempts_reason_is_text_or_digest CHECK (num_nonnulls(reason, reason_digest) = 1),
    CONSTRAINT attempts_answer_is_text_or_digest CHECK (body IS NULL OR answer_digest IS NULL),
    CONSTRAINT attempts_tls_is_1_2_or_1_3 CHECK (tls IN (12, 13)),
    CONSTRAINT attempts_tls_and_proxy_have_a_peer CHECK (peer IS NOT NULL OR num_nonnulls(tls, proxy) = 0),
    CONSTRAINT attempts_peer_and_digests_come_together CHECK (num_nulls(peer, head_digest, payload_digest) IN (0, 3)),
    CONSTRAINT attempts_digests_are_sha256 CHECK (
        octet_length(head_digest) = 32 AND octet_length(payload_digest) = 32 AND octet_length(answer_digest) = 32)
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE posthorn.attempts IS 'One HTTP exchange made for a delivery; append-only, in the partition of its event''s day.';
COMMENT ON COLUMN posthorn.attempts.event_id IS 'The event.';
COMMENT ON COLUMN posthorn.attempts.subscription_id IS 'The subscription, or the transaction''s subscription.';
COMMENT ON COLUMN posthorn.attempts.started_at IS 'When the exchange began, by the database''s clock.';
COMMENT ON COLUMN posthorn.attempts.generation IS '0, or the number of the replay.';
COMMENT ON COLUMN posthorn.attempts.number IS 'Counts the delivery''s attempts from 1.';
COMMENT ON COLUMN posthorn.attempts.duration_us IS 'How long it took, microseconds.';
COMMENT ON COLUMN posthorn.attempts.outcome IS 'What it came to.';
COMMENT ON COLUMN posthorn.attempts.http_status IS 'Status of the answer, if there was one.';
COMMENT ON COLUMN posthorn.attempts.reason IS 'Reason phrase of the answer, masked, or why there was none; NULL: it was purged.';
COMMENT ON COLUMN posthorn.attempts.reason_digest IS 'SHA-256 of reason, since that was purged.';
COMMENT ON COLUMN posthorn.attempts.body IS 'The first 2 KiB of the answer''s body, masked, if it had one.';
COMMENT ON COLUMN posthorn.attempts.recorded_at IS 'When the row was written; the day by which it is sealed.';
COMMENT ON COLUMN posthorn.attempts.revision IS 'The configuration that held: posthorn.config_at(subscription, revision) shows it.';
COMMENT ON COLUMN posthorn.attempts.tls IS '12 for TLS 1.2, 13 for TLS 1.3; NULL: http, or no connection.';
COMMENT ON COLUMN posthorn.attempts.peer IS 'The receiver''s address that was connected to; NULL: there was no connection, and nothing was sent.';
COMMENT ON COLUMN posthorn.attempts.proxy IS 'The address of the proxy through which, if there was one.';
COMMENT ON COLUMN posthorn.attempts.head_digest IS 'SHA-256 of method, URL and headers but credentials, in the form of docs/AUDIT.md.';
COMMENT ON COLUMN posthorn.attempts.payload_digest IS 'SHA-256 of the request''s body, byte for byte.';
COMMENT ON COLUMN posthorn.attempts.answer_digest IS 'SHA-256 of body, since that was purged.';
CREATE TABLE posthorn.attempts_default PARTITION OF posthorn.attempts DEFAULT;
COMMENT ON TABLE posthorn.attempts_default IS 'Catches what no daily partition takes.';

-- In the order of writing as good as sorted, so a few bytes find a day's rows.
CREATE INDEX attempts_recorded ON posthorn.attempts USING brin (recorded_at);
COMMENT ON INDEX posthorn.attempts_recorded IS 'Seals read a day''s rows by it.';

-- Append-only for every role, the owner and superusers too.

CREATE FUNCTION posthorn.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'posthorn.% is append-only; its rows are evidence', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION posthorn.refuse_change IS 'Trigger: keeps the rows of the ledger and its like as they were written.';

-- The one change there is: what an answer said goes once its event's payload has gone, and
-- leaves its digest.
CREATE FUNCTION posthorn.refuse_change_but_purge() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept posthorn.attempts := NEW;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- All but the two columns that can be purged is as it was.
        kept.body := OLD.body;
        kept.reason := OLD.reason;
        IF kept IS NOT DISTINCT FROM OLD
           AND (NEW.body IS NULL OR NEW.body IS NOT DISTINCT FROM OLD.body)
           AND (NEW.reason IS NULL OR NEW.reason IS NOT DISTINCT FROM OLD.reason)
           AND EXISTS (SELECT FROM posthorn.events e WHERE e.id = OLD.event_id AND e.purged_at IS NOT NULL) THEN
            IF NEW.body IS NULL AND OLD.body IS NOT NULL THEN
                NEW.answer_digest := sha256(convert_to(OLD.body, 'UTF8'));
            END IF;
            IF NEW.reason IS NULL AND OLD.reason IS NOT NULL THEN
                NEW.reason_digest := sha256(convert_to(OLD.reason, 'UTF8'));
            END IF;
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'posthorn.% is append-only; its rows are evidence', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION posthorn.refuse_change_but_purge IS 'Trigger: lets the body and the reason of an answer be set to NULL after its event''s payload was purged, and nothing else.';

CREATE FUNCTION posthorn.refuse_change_but_purge_of_reason() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    purged posthorn.deliveries := OLD;
BEGIN
    purged.reason := NULL;
    IF TG_OP = 'UPDATE' AND OLD.reason IS NOT NULL AND NEW IS NOT DISTINCT FROM purged
       AND EXISTS (SELECT FROM posthorn.events e WHERE e.id = OLD.event_id AND e.purged_at IS NOT NULL) THEN
        NEW.reason_digest := sha256(convert_to(OLD.reason, 'UTF8'));
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'posthorn.% is append-only; its rows are evidence', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION posthorn.refuse_change_but_purge_of_reason IS 'Trigger: lets the reason of a delivery, which quotes the last answer, be set to NULL after its event''s payload was purged, and nothing else.';

-- Of each row: partitions have it from their parent. An INSERT does not see it.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON posthorn.deliveries
    FOR EACH ROW EXECUTE FUNCTION posthorn.refuse_change_but_purge_of_reason();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON posthorn.attempts
    FOR EACH ROW EXECUTE FUNCTION posthorn.refuse_change_but_purge();

-- Of TRUNCATE a partition has none from its parent; make_partition() gives it to those of days.
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON posthorn.deliveries
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON posthorn.deliveries_default
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON posthorn.attempts
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON posthorn.attempts_default
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();
