-- Who owns which merchants, and up to where their events are dealt with. Workers say that they are
-- alive, own shards by leases, and write for each of theirs how far in the log it is.

-- What only a worker's memory knows travels with its heartbeat, in the row that the heartbeat
-- writes anyhow.
CREATE TABLE posthorn.workers (
    id            uuid        NOT NULL PRIMARY KEY,
    name          text        NOT NULL,
    version       text        NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    seen_at       timestamptz NOT NULL DEFAULT now(),
    lease         interval    NOT NULL DEFAULT '10 seconds',
    in_flight     int         NOT NULL DEFAULT 0,
    queued        int         NOT NULL DEFAULT 0,
    breakers_open uuid[]      NOT NULL DEFAULT '{}',
    unusable      uuid[]      NOT NULL DEFAULT '{}',
    unusable_why  text[]      NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);
COMMENT ON TABLE posthorn.workers IS 'The worker processes that were seen lately.';
COMMENT ON COLUMN posthorn.workers.id IS 'New for each start of a process.';
COMMENT ON COLUMN posthorn.workers.name IS 'For people: from the config file, or host and process id.';
COMMENT ON COLUMN posthorn.workers.version IS 'Posthorn''s version.';
COMMENT ON COLUMN posthorn.workers.started_at IS 'When the process started.';
COMMENT ON COLUMN posthorn.workers.seen_at IS 'Its last heartbeat; older than the lease means gone.';
COMMENT ON COLUMN posthorn.workers.lease IS 'How long it may be silent before it counts as gone.';
COMMENT ON COLUMN posthorn.workers.in_flight IS 'Requests in the air at its last heartbeat.';
COMMENT ON COLUMN posthorn.workers.queued IS 'Deliveries in its memory at its last heartbeat.';
COMMENT ON COLUMN posthorn.workers.breakers_open IS 'Subscriptions that get only probes after repeated failures; at most 1000 are named.';
COMMENT ON COLUMN posthorn.workers.unusable IS 'Subscriptions whose settings it cannot use; at most 1000 are named.';
COMMENT ON COLUMN posthorn.workers.unusable_why IS 'What is wrong with each of them, in the same order.';

-- Checkpoints and leases are updated every second or so: room for HOT updates.
CREATE TABLE posthorn.shards (
    shard         smallint    NOT NULL PRIMARY KEY,
    owner         uuid,
    epoch         bigint      NOT NULL DEFAULT 0,
    expires_at    timestamptz,
    checkpoint    pg_snapshot NOT NULL,
    checkpoint_at timestamptz NOT NULL DEFAULT now(),
    cluster       text        NOT NULL,
    CONSTRAINT shards_owner_has_lease CHECK ((owner IS NULL) = (expires_at IS NULL))
) WITH (fillfactor = 20);
COMMENT ON TABLE posthorn.shards IS 'Fixed slices of the merchants; one worker owns a shard at a time.';
COMMENT ON COLUMN posthorn.shards.shard IS 'As in posthorn.shard_of(merchant).';
COMMENT ON COLUMN posthorn.shards.owner IS 'The worker that owns it; NULL: free.';
COMMENT ON COLUMN posthorn.shards.epoch IS 'Counts the owners; every write of an owner names it.';
COMMENT ON COLUMN posthorn.shards.expires_at IS 'When the lease runs out unless it is renewed.';
COMMENT ON COLUMN posthorn.shards.checkpoint IS 'Every matched delivery of the events visible in it is in deliveries or pending_deliveries.';
COMMENT ON COLUMN posthorn.shards.checkpoint_at IS 'When the checkpoint was written.';
COMMENT ON COLUMN posthorn.shards.cluster IS 'posthorn.cluster() when it was written; in another one it is not to be relied on.';

INSERT INTO posthorn.shards (shard, checkpoint, cluster)
SELECT shard, '3:3:'::pg_snapshot, posthorn.cluster()
  FROM generate_series(0, posthorn.shard_count() - 1) AS shard;

-- A worker's role may write checkpoints and epochs. What no worker of ours would ever write is
-- refused, so that whoever has stolen the role can neither make old events new again nor pass
-- the present. The schema's owner may: to set a checkpoint back by hand sends again.
CREATE FUNCTION posthorn.guard_shard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong text;
BEGIN
    IF NEW.epoch NOT BETWEEN OLD.epoch AND OLD.epoch + 1 THEN
        wrong := 'its epoch does not count on';
    ELSIF NEW.expires_at > clock_timestamp() + interval '1 day' THEN
        wrong := 'its lease would last for more than a day';
    ELSIF NEW.checkpoint::text <> OLD.checkpoint::text OR NEW.cluster <> OLD.cluster THEN
        IF NEW.cluster <> posthorn.cluster() THEN
            wrong := 'its checkpoint is of another cluster';
        ELSIF pg_snapshot_xmax(NEW.checkpoint) > pg_snapshot_xmax(pg_current_snapshot()) THEN
            wrong := 'its checkpoint lies in the future';
        ELSIF NEW.cluster = OLD.cluster
          AND (pg_snapshot_xmin(NEW.checkpoint) < pg_snapshot_xmin(OLD.checkpoint)
               OR pg_snapshot_xmax(NEW.checkpoint) < pg_snapshot_xmax(OLD.checkpoint)) THEN
            wrong := 'its checkpoint goes back';
        END IF;
    END IF;
    IF wrong IS NOT NULL AND NOT EXISTS (
           SELECT FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
            WHERE c.oid = TG_RELID AND r.rolname = current_user) THEN
        RAISE EXCEPTION 'shard % is not changed: %', OLD.shard, wrong
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.guard_shard IS 'Trigger: epochs and checkpoints of a shard go forward, and never beyond the present; leases end.';
CREATE TRIGGER guard_shard BEFORE UPDATE OF epoch, expires_at, checkpoint, cluster ON posthorn.shards
    FOR EACH ROW EXECUTE FUNCTION posthorn.guard_shard();

CREATE FUNCTION posthorn.is_read(newest xid8) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT EXISTS (
        SELECT FROM posthorn.shards s
         WHERE s.cluster <> posthorn.cluster() OR newest >= pg_snapshot_xmin(s.checkpoint))
$$;
COMMENT ON FUNCTION posthorn.is_read IS 'Whether every shard''s checkpoint, of this cluster, is past all transactions up to this one.';

-- A restored or upgraded cluster counts transactions anew: an event of the old one may
-- carry a number that the new one has yet to reach, and would look new once it does.
CREATE FUNCTION posthorn.settle_foreign_events() RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Rows that are being moved to their day's partition would be passed over.
    SELECT pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    WITH foreign_events AS (
        UPDATE posthorn.events SET xid = '3'
         WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
        RETURNING 1)
    SELECT count(*) FROM foreign_events;
END;
COMMENT ON FUNCTION posthorn.settle_foreign_events IS
    'Marks events whose transaction id is from the future, so from another cluster, as old; returns how many.';
