-- What support and operators look at: the audits that workers made on their schedule, and views of
-- deliveries, workers, shards, the log and subscriptions. `posthorn status` and `posthorn deliveries`
-- read the views too, so a query and a command answer alike.

CREATE TABLE posthorn.audits (
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    since       timestamptz NOT NULL,
    events      bigint      NOT NULL,
    expected    bigint      NOT NULL,
    missing     bigint      NOT NULL,
    repaired    bigint      NOT NULL,
    settled_to  timestamptz NOT NULL,
    snapshot    pg_snapshot NOT NULL,
    cluster     text        NOT NULL,
    PRIMARY KEY (started_at)
);
COMMENT ON TABLE posthorn.audits IS 'Scheduled comparisons of events with deliveries.';
COMMENT ON COLUMN posthorn.audits.started_at IS 'When it began; events up to then were looked at.';
COMMENT ON COLUMN posthorn.audits.finished_at IS 'When it was through.';
COMMENT ON COLUMN posthorn.audits.since IS 'The earliest events that were looked at.';
COMMENT ON COLUMN posthorn.audits.events IS 'How many events that was.';
COMMENT ON COLUMN posthorn.audits.expected IS 'How many deliveries there should be.';
COMMENT ON COLUMN posthorn.audits.missing IS 'Of these, those without a row.';
COMMENT ON COLUMN posthorn.audits.repaired IS 'Of the missing, those that were given one.';
COMMENT ON COLUMN posthorn.audits.settled_to IS 'Events before that had all been dealt with by workers; the next audit begins there, or earlier.';
COMMENT ON COLUMN posthorn.audits.snapshot IS 'When it began: what was committed later, the next audit looks at, however old it is.';
COMMENT ON COLUMN posthorn.audits.cluster IS 'Where the snapshot means something.';

-- An audit is made in steps, each a transaction of its own, by whichever worker makes it.
CREATE TABLE posthorn.auditing (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    started_at timestamptz NOT NULL,
    since      timestamptz NOT NULL,
    reached    uuid        NOT NULL,
    events     bigint      NOT NULL,
    expected   bigint      NOT NULL,
    missing    bigint      NOT NULL,
    repaired   bigint      NOT NULL,
    settled_to timestamptz,
    snapshot   pg_snapshot NOT NULL,
    cluster    text        NOT NULL
);
COMMENT ON TABLE posthorn.auditing IS 'At most one row: how far the scheduled audit has come that workers are at; it goes to posthorn.audits in the end.';
COMMENT ON COLUMN posthorn.auditing.only_row IS 'Keeps the table at one row.';
COMMENT ON COLUMN posthorn.auditing.started_at IS 'When it began; events up to then are looked at.';
COMMENT ON COLUMN posthorn.auditing.since IS 'The earliest events that are looked at.';
COMMENT ON COLUMN posthorn.auditing.reached IS 'The last event that was looked at.';
COMMENT ON COLUMN posthorn.auditing.events IS 'How many events that was so far.';
COMMENT ON COLUMN posthorn.auditing.expected IS 'How many deliveries there should be of these.';
COMMENT ON COLUMN posthorn.auditing.missing IS 'Of the expected, those without a row.';
COMMENT ON COLUMN posthorn.auditing.repaired IS 'Of the missing, those that were given one.';
COMMENT ON COLUMN posthorn.auditing.settled_to IS 'Events before that had all been dealt with by workers; NULL while that is so of all.';
COMMENT ON COLUMN posthorn.auditing.snapshot IS 'When it began, as in posthorn.audits.';
COMMENT ON COLUMN posthorn.auditing.cluster IS 'Where the snapshot means something.';

-- The last attempt, a look-up by the primary key: unlike of a join, a column of it that nobody
-- reads costs nothing. A call, and no sub-query: of that the planner counts a look into every
-- partition for each delivery that it expects, many times more than there are. With 40 days of
-- partitions and 200,000 deliveries that made a cost of ten millions out of three rows, and a
-- stock server (jit = on) compiled for 25 seconds what then ran for a millisecond.
CREATE FUNCTION posthorn.last_attempt(
        event_id uuid, subscription_id uuid, generation int, number int,
        OUT started_at timestamptz, OUT outcome posthorn.outcome_class, OUT http_status smallint)
    LANGUAGE sql STABLE PARALLEL SAFE COST 10
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
    SELECT a.started_at, a.outcome, a.http_status FROM posthorn.attempts a
     WHERE a.event_id = $1 AND a.subscription_id = $2 AND a.generation = $3 AND a.number = $4
$$;
COMMENT ON FUNCTION posthorn.last_attempt IS 'When an attempt of a delivery began, and what it came to: for the view delivery_status.';

CREATE VIEW posthorn.delivery_status AS
SELECT e.merchant, s.name AS subscription, e.transaction_id, e.kind, e.status,
       d.state, d.attempts, d.reason, e.created_at, d.next_attempt_at, d.finished_at,
       d.event_id, d.subscription_id, d.generation,
       coalesce(coalesce(
           (SELECT l.labels FROM posthorn.locks l
             WHERE l.labels IS NOT NULL
               AND (l.merchant IS NULL OR l.merchant = s.merchant)
               AND (l.profile IS NULL OR l.profile = s.profile)
             ORDER BY l.merchant IS NULL, l.profile IS NULL, l.name LIMIT 1),
           s.labels, p.labels) ->> d.state::text, d.state::text) AS label,
       (posthorn.last_attempt(d.event_id, d.subscription_id, d.generation, d.attempts)).started_at AS last_attempt_at,
       (posthorn.last_attempt(d.event_id, d.subscription_id, d.generation, d.attempts)).outcome AS last_outcome,
       (posthorn.last_attempt(d.event_id, d.subscription_id, d.generation, d.attempts)).http_status AS last_http_status
  FROM (SELECT event_id, subscription_id, generation, state, attempts, reason,
               NULL::timestamptz AS next_attempt_at, finished_at
          FROM posthorn.deliveries
        UNION ALL
        SELECT event_id, subscription_id, generation, state, attempts, reason,
               due_at, NULL::timestamptz
          FROM posthorn.pending_deliveries) AS d
  JOIN posthorn.events e ON e.id = d.event_id
  LEFT JOIN posthorn.transaction_subscriptions t ON t.id = d.subscription_id
  JOIN posthorn.subscriptions s ON s.id = coalesce(t.template_id, d.subscription_id)
  LEFT JOIN posthorn.profiles p ON p.name = s.profile;
COMMENT ON VIEW posthorn.delivery_status IS 'Did the merchant get it, and when: every delivery that ended or waits in the database. One in a worker''s memory, under two seconds old as a rule, is not in it yet.';
COMMENT ON COLUMN posthorn.delivery_status.merchant IS 'Whose transaction it is.';
COMMENT ON COLUMN posthorn.delivery_status.subscription IS 'Its name; of a transaction''s subscription, its template''s.';
COMMENT ON COLUMN posthorn.delivery_status.transaction_id IS 'The provider''s own id.';
COMMENT ON COLUMN posthorn.delivery_status.kind IS 'What kind of change, such as payment.approved.';
COMMENT ON COLUMN posthorn.delivery_status.status IS 'The transaction''s new status.';
COMMENT ON COLUMN posthorn.delivery_status.state IS 'pending and pending_retry are open; delivered, posting_error, superseded and cancelled are final.';
COMMENT ON COLUMN posthorn.delivery_status.attempts IS 'Attempts made so far.';
COMMENT ON COLUMN posthorn.delivery_status.reason IS 'Why it was not delivered, or why the last attempt failed.';
COMMENT ON COLUMN posthorn.delivery_status.created_at IS 'When the event was inserted.';
COMMENT ON COLUMN posthorn.delivery_status.next_attempt_at IS 'When an open delivery is due.';
COMMENT ON COLUMN posthorn.delivery_status.finished_at IS 'When it ended: of a delivered one, when the merchant got it.';
COMMENT ON COLUMN posthorn.delivery_status.event_id IS 'The event.';
COMMENT ON COLUMN posthorn.delivery_status.subscription_id IS 'The subscription, or the transaction''s subscription.';
COMMENT ON COLUMN posthorn.delivery_status.generation IS '0, or the number of the replay.';
COMMENT ON COLUMN posthorn.delivery_status.label IS 'The state in the vendor''s words: labels of the lock, the subscription or the profile; else the state''s own name.';
COMMENT ON COLUMN posthorn.delivery_status.last_attempt_at IS 'When the last attempt began.';
COMMENT ON COLUMN posthorn.delivery_status.last_outcome IS 'What the last attempt came to: ok, status, body_rule, dns, connect, tls, timeout, protocol, refused or token.';
COMMENT ON COLUMN posthorn.delivery_status.last_http_status IS 'The status of the last attempt''s answer, if there was one.';

CREATE VIEW posthorn.status_workers AS
SELECT w.name AS worker, w.version, w.seen_at > now() - w.lease AS live, w.started_at, w.seen_at,
       (SELECT count(*) FROM posthorn.shards s
         WHERE s.owner = w.id AND s.expires_at > now()) AS shards,
       w.in_flight, w.queued, w.id AS worker_id
  FROM posthorn.workers w;
COMMENT ON VIEW posthorn.status_workers IS 'The workers seen within a day.';
COMMENT ON COLUMN posthorn.status_workers.worker IS 'Its name: from the config file, or host and process id.';
COMMENT ON COLUMN posthorn.status_workers.version IS 'Posthorn''s version.';
COMMENT ON COLUMN posthorn.status_workers.live IS 'Whether it was seen within its lease.';
COMMENT ON COLUMN posthorn.status_workers.started_at IS 'When the process started.';
COMMENT ON COLUMN posthorn.status_workers.seen_at IS 'Its last heartbeat, each third of the lease.';
COMMENT ON COLUMN posthorn.status_workers.shards IS 'Shards that it owns.';
COMMENT ON COLUMN posthorn.status_workers.in_flight IS 'Requests in the air at its last heartbeat.';
COMMENT ON COLUMN posthorn.status_workers.queued IS 'Deliveries in its memory at its last heartbeat.';
COMMENT ON COLUMN posthorn.status_workers.worker_id IS 'New for each start of a process.';

CREATE VIEW posthorn.status_shards AS
SELECT s.shard,
       CASE WHEN s.owner IS NULL THEN 'free' WHEN s.expires_at > now() THEN 'owned' ELSE 'expired' END AS ownership,
       w.name AS worker, s.expires_at, s.checkpoint_at,
       s.cluster = posthorn.cluster() AS of_this_cluster, s.epoch, s.owner AS worker_id
  FROM posthorn.shards s
  LEFT JOIN posthorn.workers w ON w.id = s.owner;
COMMENT ON VIEW posthorn.status_shards IS 'Who owns which slice of the merchants, and up to when its events are dealt with.';
COMMENT ON COLUMN posthorn.status_shards.shard IS 'As in posthorn.shard_of(merchant).';
COMMENT ON COLUMN posthorn.status_shards.ownership IS 'owned; free: nobody''s; expired: its owner was not heard of within the lease.';
COMMENT ON COLUMN posthorn.status_shards.worker IS 'The owner''s name.';
COMMENT ON COLUMN posthorn.status_shards.expires_at IS 'When the lease runs out unless it is renewed.';
COMMENT ON COLUMN posthorn.status_shards.checkpoint_at IS 'When the checkpoint last moved on; every matched delivery of the events before it is durable.';
COMMENT ON COLUMN posthorn.status_shards.of_this_cluster IS 'Whether the checkpoint means something here: not after a restore or failover, until a worker has taken the shard.';
COMMENT ON COLUMN posthorn.status_shards.epoch IS 'Counts the owners.';
COMMENT ON COLUMN posthorn.status_shards.worker_id IS 'The owner.';

-- Never further than 10,000 events. A function, for the same reason as last_attempt().
CREATE FUNCTION posthorn.unread_since(
        checkpoint pg_snapshot, shards smallint[], OUT events bigint, OUT oldest_at timestamptz)
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000
    SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
    SELECT count(*), min(v.created_at) INTO events, oldest_at
      FROM (SELECT e.created_at FROM posthorn.events e
             WHERE e.xid >= pg_snapshot_xmin($1) AND e.shard = ANY ($2)
               AND NOT pg_visible_in_snapshot(e.xid, $1)
             ORDER BY e.xid, e.id LIMIT 10000) AS v;
END $$;
COMMENT ON FUNCTION posthorn.unread_since IS 'Events of some shards behind their checkpoint, and the oldest of them: for the view status_unread.';

-- Shards with the same checkpoint, as those of a worker that died, are looked at together.
CREATE VIEW posthorn.status_unread AS
SELECT coalesce(sum(u.events), 0)::bigint AS events, min(u.oldest_at) AS oldest_at
  FROM (SELECT s.checkpoint::text::pg_snapshot AS checkpoint, array_agg(s.shard) AS shards
          FROM posthorn.shards s
         WHERE s.cluster = posthorn.cluster()
         GROUP BY s.checkpoint::text) AS c
 CROSS JOIN LATERAL posthorn.unread_since(c.checkpoint, c.shards) AS u;
COMMENT ON VIEW posthorn.status_unread IS 'One row: events behind the checkpoints. As a rule those of the last second or two, which are being read and sent; many or old ones mean that no worker reads them.';
COMMENT ON COLUMN posthorn.status_unread.events IS 'How many; counted up to 10,000 for each distinct checkpoint.';
COMMENT ON COLUMN posthorn.status_unread.oldest_at IS 'When the oldest of them was inserted.';

CREATE VIEW posthorn.status_subscriptions AS
SELECT s.merchant, s.name AS subscription,
       CASE WHEN unusable.id IS NOT NULL THEN 'unusable settings'
            WHEN s.gone_at IS NOT NULL AND s.enabled THEN 'gone'
            WHEN NOT s.enabled AND o.open > 0 THEN 'disabled with a backlog'
            WHEN s.paused AND o.open > 0 THEN 'paused with a backlog'
            WHEN breaker.id IS NOT NULL THEN 'breaker open'
            WHEN o.retrying >= 10 THEN 'many retries'
            WHEN o.late_since < now() - interval '1 minute' THEN 'falling behind'
       END AS trouble,
       unusable.why,
       s.enabled, s.paused, s.gone_at,
       coalesce(o.open, 0) AS open, coalesce(o.pending, 0) AS pending,
       coalesce(o.retrying, 0) AS retrying, coalesce(o.replayed, 0) AS replayed,
       o.oldest_at, o.next_attempt_at, s.profile, s.id AS subscription_id
  FROM posthorn.subscriptions s
  LEFT JOIN (
       SELECT p.lane_id, count(*) AS open,
              count(*) FILTER (WHERE p.state = 'pending') AS pending,
              count(*) FILTER (WHERE p.state = 'pending_retry') AS retrying,
              count(*) FILTER (WHERE p.generation > 0) AS replayed,
              min(posthorn.uuid_time(p.event_id)) FILTER (WHERE p.generation = 0) AS oldest_at,
              min(p.due_at) AS next_attempt_at,
              min(p.due_at) FILTER (WHERE p.generation = 0) AS late_since
         FROM posthorn.pending_deliveries p
        GROUP BY p.lane_id) AS o ON o.lane_id = s.id
  LEFT JOIN (
       SELECT DISTINCT unnest(w.breakers_open) AS id FROM posthorn.workers w
        WHERE w.seen_at > now() - w.lease) AS breaker ON breaker.id = s.id
  LEFT JOIN (
       SELECT u.id, min(u.why) AS why FROM posthorn.workers w, unnest(w.unusable, w.unusable_why) AS u (id, why)
        WHERE w.seen_at > now() - w.lease GROUP BY u.id) AS unusable ON unusable.id = s.id;
COMMENT ON VIEW posthorn.status_subscriptions IS 'Each subscription with what is open for it in the database, and what is amiss. It counts the rows of posthorn.pending_deliveries.';
COMMENT ON COLUMN posthorn.status_subscriptions.merchant IS 'Whose endpoint it is.';
COMMENT ON COLUMN posthorn.status_subscriptions.subscription IS 'Its name.';
COMMENT ON COLUMN posthorn.status_subscriptions.trouble IS 'The worst of: unusable settings, gone (an answer of disable_statuses), disabled with a backlog, paused with a backlog, breaker open, many retries (10 and more), falling behind (something has been due for a minute). NULL: none.';
COMMENT ON COLUMN posthorn.status_subscriptions.why IS 'What is wrong with unusable settings, and the remedy.';
COMMENT ON COLUMN posthorn.status_subscriptions.enabled IS 'As in posthorn.subscriptions.';
COMMENT ON COLUMN posthorn.status_subscriptions.paused IS 'As in posthorn.subscriptions.';
COMMENT ON COLUMN posthorn.status_subscriptions.gone_at IS 'As in posthorn.subscriptions.';
COMMENT ON COLUMN posthorn.status_subscriptions.open IS 'Deliveries that wait in the database: pending and retrying, replays included.';
COMMENT ON COLUMN posthorn.status_subscriptions.pending IS 'Not tried yet.';
COMMENT ON COLUMN posthorn.status_subscriptions.retrying IS 'Failed, and waiting for the next attempt.';
COMMENT ON COLUMN posthorn.status_subscriptions.replayed IS 'Of the open ones, how many a replay opened.';
COMMENT ON COLUMN posthorn.status_subscriptions.oldest_at IS 'When the event of the oldest open delivery was inserted, replays left out.';
COMMENT ON COLUMN posthorn.status_subscriptions.next_attempt_at IS 'When the first of them is due.';
COMMENT ON COLUMN posthorn.status_subscriptions.profile IS 'Its profile.';
COMMENT ON COLUMN posthorn.status_subscriptions.subscription_id IS 'Its id.';
