-- Payloads can be purged by age, while the events, the ledger and the attempts stay.

ALTER TABLE posthorn.events
    ALTER COLUMN data DROP NOT NULL,
    ADD COLUMN purged_at timestamptz;
-- NOT VALID: every row that is here fulfils it, and a scan would hold the publishers up.
ALTER TABLE posthorn.events
    ADD CONSTRAINT events_data_is_there_until_it_is_purged
    CHECK ((data IS NULL) = (purged_at IS NOT NULL)) NOT VALID;
COMMENT ON COLUMN posthorn.events.purged_at IS 'When the payload was purged; data is NULL since then.';

CREATE TABLE posthorn.purged_days (
    day         date        NOT NULL,
    purged_at   timestamptz NOT NULL,
    newest_xid  xid8        NOT NULL,
    open_events bigint      NOT NULL,
    PRIMARY KEY (day)
);
COMMENT ON TABLE posthorn.purged_days IS 'Days whose payloads were purged, so that they are not looked through again each time.';
COMMENT ON COLUMN posthorn.purged_days.day IS 'The day of a partition, UTC.';
COMMENT ON COLUMN posthorn.purged_days.purged_at IS 'When.';
COMMENT ON COLUMN posthorn.purged_days.newest_xid IS 'The newest transaction that had written to it; a newer one means that it is done again.';
COMMENT ON COLUMN posthorn.purged_days.open_events IS 'Events that keep their payload because a delivery is open; the day is done again until there is none.';

CREATE FUNCTION posthorn.is_read(newest xid8) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT EXISTS (
        SELECT FROM posthorn.shards s
         WHERE s.cluster <> posthorn.cluster() OR newest >= pg_snapshot_xmin(s.checkpoint))
$$;
COMMENT ON FUNCTION posthorn.is_read IS 'Whether every shard''s checkpoint, of this cluster, is past all transactions up to this one.';

-- A statement for each day: a day that is too large for one go does not undo the others.
CREATE FUNCTION posthorn.purge_payloads(keep_days int, after date, OUT day date, OUT purged bigint)
    RETURNS record LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    part text;
    low uuid;
    high uuid;
    newest xid8;
    kept bigint;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days is %; give 1 or more', keep_days;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    DELETE FROM posthorn.purged_days d
     WHERE to_regclass('posthorn.events_' || to_char(d.day, 'YYYYMMDD')) IS NULL;
    FOR part, day IN
        SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD')
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'posthorn.events'::regclass AND c.relname ~ '^events_[0-9]{8}$'
         ORDER BY 1
    LOOP
        EXIT WHEN day >= current_date - keep_days;
        CONTINUE WHEN day <= after;
        EXECUTE format('SELECT xid FROM posthorn.%I ORDER BY xid DESC LIMIT 1', part) INTO newest;
        CONTINUE WHEN newest IS NULL;
        -- What no worker has read yet has to be sent first, as in drop_partitions.
        CONTINUE WHEN NOT posthorn.is_read(newest);
        CONTINUE WHEN EXISTS (
            SELECT FROM posthorn.purged_days d
             WHERE d.day = purge_payloads.day AND d.open_events = 0 AND d.newest_xid >= newest);
        low := posthorn.uuid_floor(day::timestamptz);
        high := posthorn.uuid_floor((day + 1)::timestamptz);
        UPDATE posthorn.events e SET data = NULL, purged_at = now()
         WHERE e.id >= low AND e.id < high AND e.data IS NOT NULL
           AND NOT EXISTS (SELECT FROM posthorn.pending_deliveries p WHERE p.event_id = e.id);
        GET DIAGNOSTICS purged = ROW_COUNT;
        -- Receivers echo what they get, in reason phrases too. The answers follow their
        -- events: a delivery that ends between the statements keeps all for the next time.
        -- The commonest reasons quote nobody, and so most rows are left as they are.
        UPDATE posthorn.attempts a SET body = NULL, reason = NULL
         WHERE a.event_id >= low AND a.event_id < high
           AND (a.body IS NOT NULL
                OR a.reason NOT IN ('200 OK', '201 Created', '202 Accepted', '204 No Content'))
           AND EXISTS (SELECT FROM posthorn.events e WHERE e.id = a.event_id AND e.purged_at IS NOT NULL);
        -- Without an attempt the reason is our own words.
        UPDATE posthorn.deliveries d SET reason = NULL
         WHERE d.event_id >= low AND d.event_id < high
           AND d.state = 'posting_error' AND d.attempts > 0 AND d.reason IS NOT NULL
           AND EXISTS (SELECT FROM posthorn.events e WHERE e.id = d.event_id AND e.purged_at IS NOT NULL);
        SELECT count(*) INTO kept FROM posthorn.events e
         WHERE e.id >= low AND e.id < high AND e.data IS NOT NULL;
        INSERT INTO posthorn.purged_days AS d VALUES (purge_payloads.day, now(), newest, kept)
            ON CONFLICT ON CONSTRAINT purged_days_pkey DO UPDATE
            SET purged_at = excluded.purged_at, newest_xid = excluded.newest_xid,
                open_events = excluded.open_events;
        RETURN;
    END LOOP;
    day := NULL;
END $$;
COMMENT ON FUNCTION posthorn.purge_payloads IS
    'Purges the payloads of the first day behind a day that is older than keep_days and not done yet, but for events with an open delivery; returns the day and how many events, or NULL when none is left.';
REVOKE ALL ON FUNCTION posthorn.purge_payloads FROM PUBLIC;
