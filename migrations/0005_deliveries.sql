-- What became of each event for each subscription. The success path only appends to
-- deliveries and attempts; exceptions live in pending_deliveries until they end.

CREATE TYPE posthorn.delivery_state AS ENUM
    ('pending', 'pending_retry', 'delivered', 'posting_error', 'superseded', 'cancelled');
COMMENT ON TYPE posthorn.delivery_state IS 'The first two are open, the others final.';
CREATE TYPE posthorn.outcome_class AS ENUM
    ('ok', 'status', 'body_rule', 'dns', 'connect', 'tls', 'timeout', 'protocol', 'refused');
COMMENT ON TYPE posthorn.outcome_class IS 'What an attempt came to.';

CREATE TABLE posthorn.pending_deliveries (
    event_id        uuid                    NOT NULL,
    subscription_id uuid                    NOT NULL,
    generation      int                     NOT NULL DEFAULT 0 CHECK (generation >= 0),
    state           posthorn.delivery_state NOT NULL,
    attempts        int                     NOT NULL DEFAULT 0,
    turned_away     int                     NOT NULL DEFAULT 0,
    due_at          timestamptz             NOT NULL,
    lane_waits_until timestamptz,
    opened_at       timestamptz             NOT NULL DEFAULT clock_timestamp(),
    shard           smallint                NOT NULL,
    transaction_id  text                    NOT NULL,
    reason          text,
    PRIMARY KEY (event_id, subscription_id, generation),
    CONSTRAINT pending_deliveries_turned_away_are_attempts CHECK (turned_away BETWEEN 0 AND attempts),
    CONSTRAINT pending_deliveries_state_fits_attempts CHECK (
        (state = 'pending' AND attempts = 0 AND reason IS NULL)
        OR (state = 'pending_retry' AND attempts >= 1 AND reason IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE posthorn.pending_deliveries IS 'Open deliveries that wait in the database: retries, and the overflow of slow endpoints.';
COMMENT ON COLUMN posthorn.pending_deliveries.event_id IS 'The event.';
COMMENT ON COLUMN posthorn.pending_deliveries.subscription_id IS 'The subscription.';
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
CREATE INDEX pending_deliveries_due
    ON posthorn.pending_deliveries (shard, subscription_id, due_at, event_id);
COMMENT ON INDEX posthorn.pending_deliveries_due IS 'Refill takes each lane''s earliest from it.';
CREATE INDEX pending_deliveries_transaction
    ON posthorn.pending_deliveries (subscription_id, transaction_id, event_id);
COMMENT ON INDEX posthorn.pending_deliveries_transaction IS 'Finds the older events of a transaction.';

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
COMMENT ON COLUMN posthorn.deliveries.subscription_id IS 'The subscription.';
COMMENT ON COLUMN posthorn.deliveries.finished_at IS 'When the final state was written.';
COMMENT ON COLUMN posthorn.deliveries.generation IS '0, or the number of the replay.';
COMMENT ON COLUMN posthorn.deliveries.attempts IS 'Attempts made in all.';
COMMENT ON COLUMN posthorn.deliveries.state IS 'delivered, posting_error, superseded or cancelled.';
COMMENT ON COLUMN posthorn.deliveries.reason IS 'Why it was not delivered; NULL when it was, or when the reason was purged.';
COMMENT ON COLUMN posthorn.deliveries.reason_digest IS 'SHA-256 of reason, since that was purged.';
CREATE TABLE posthorn.deliveries_default PARTITION OF posthorn.deliveries DEFAULT;
COMMENT ON TABLE posthorn.deliveries_default IS 'Catches what no daily partition takes.';

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
    PRIMARY KEY (event_id, subscription_id, generation, number),
    CONSTRAINT attempts_status_fits_outcome CHECK (
        (http_status IS NOT NULL) = (outcome IN ('ok', 'status', 'body_rule'))),
    CONSTRAINT attempts_reason_is_text_or_digest CHECK (num_nonnulls(reason, reason_digest) = 1)
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE posthorn.attempts IS 'One HTTP exchange made for a delivery; append-only, in the partition of its event''s day.';
COMMENT ON COLUMN posthorn.attempts.event_id IS 'The event.';
COMMENT ON COLUMN posthorn.attempts.subscription_id IS 'The subscription.';
COMMENT ON COLUMN posthorn.attempts.started_at IS 'When the exchange began, by the database''s clock.';
COMMENT ON COLUMN posthorn.attempts.generation IS '0, or the number of the replay.';
COMMENT ON COLUMN posthorn.attempts.number IS 'Counts the delivery''s attempts from 1.';
COMMENT ON COLUMN posthorn.attempts.duration_us IS 'How long it took, microseconds.';
COMMENT ON COLUMN posthorn.attempts.outcome IS 'What it came to.';
COMMENT ON COLUMN posthorn.attempts.http_status IS 'Status of the answer, if there was one.';
COMMENT ON COLUMN posthorn.attempts.reason IS 'Reason phrase of the answer, masked, or why there was none; NULL: it was purged.';
COMMENT ON COLUMN posthorn.attempts.reason_digest IS 'SHA-256 of reason, since that was purged.';
COMMENT ON COLUMN posthorn.attempts.body IS 'The first 2 KiB of the answer''s body, masked, if it had one.';
CREATE TABLE posthorn.attempts_default PARTITION OF posthorn.attempts DEFAULT;
COMMENT ON TABLE posthorn.attempts_default IS 'Catches what no daily partition takes.';

CREATE VIEW posthorn.delivery_status AS
SELECT e.merchant, s.name AS subscription, e.transaction_id, e.kind, e.status,
       d.state, d.attempts, d.reason, e.created_at,
       NULL::timestamptz AS next_attempt_at, d.finished_at,
       d.event_id, d.subscription_id, d.generation
  FROM posthorn.deliveries d
  JOIN posthorn.events e ON e.id = d.event_id
  JOIN posthorn.subscriptions s ON s.id = d.subscription_id
UNION ALL
SELECT e.merchant, s.name, e.transaction_id, e.kind, e.status,
       p.state, p.attempts, p.reason, e.created_at,
       p.due_at, NULL::timestamptz,
       p.event_id, p.subscription_id, p.generation
  FROM posthorn.pending_deliveries p
  JOIN posthorn.events e ON e.id = p.event_id
  JOIN posthorn.subscriptions s ON s.id = p.subscription_id;
COMMENT ON VIEW posthorn.delivery_status IS 'Did the merchant get it, and when: every delivery that ended or waits in the database. One in a worker''s memory, under two seconds old as a rule, is not in it yet.';
COMMENT ON COLUMN posthorn.delivery_status.next_attempt_at IS 'When an open delivery is due.';
COMMENT ON COLUMN posthorn.delivery_status.finished_at IS 'When it ended.';
