-- The days of the log, the ledger and the attempts: daily partitions that are made ahead of time,
-- days whose payloads are purged, and days that are dropped whole. What a worker calls of this runs
-- with the schema owner's rights, so that its role needs no DDL of its own, and gives up after a
-- second of waiting for a lock rather than queue everybody behind it.

-- Days are made.

-- Whoever reads takes a lock on the parent first, then the list of its partitions, then a
-- snapshot. Between the last two, rows that are moved would be in a partition that is not on
-- the list (docs/decisions/0059-days-are-made-with-the-log-to-oneself.md). So rows move, and a
-- day begins that is here already, while nobody else has the parent's lock.
--
-- Others stand in line behind a lock that is waited for, publishers too: each try is short, and
-- so is what is done under the lock. Now and then one is long enough for autovacuum to be sent
-- away, which takes deadlock_timeout.
CREATE FUNCTION posthorn.have_alone(parent text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tries int := 60;
BEGIN
    FOR try IN 1..tries LOOP
        BEGIN
            PERFORM set_config('lock_timeout', CASE WHEN try % 10 = 0 THEN '1200ms' ELSE '100ms' END, true);
            EXECUTE format('LOCK TABLE ONLY posthorn.%I, posthorn.%I IN ACCESS EXCLUSIVE MODE',
                           parent, parent || '_default');
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF try = tries THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(1);
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.have_alone IS 'Locks events, deliveries or attempts against everybody else, in short tries; fails after a minute.';

-- Rows that came before their partition did; their xid is copied, so the feed sees them where
-- they were.
CREATE FUNCTION posthorn.move_rows(parent text, part text, low uuid, high uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key text := CASE parent WHEN 'events' THEN 'id' ELSE 'event_id' END;
    columns text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ') INTO columns
      FROM pg_attribute
     WHERE attrelid = ('posthorn.' || parent)::regclass
       AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('WITH moved AS (DELETE FROM posthorn.%I WHERE %I >= %L AND %I < %L RETURNING %s)
                    INSERT INTO posthorn.%I (%s) SELECT %s FROM moved',
                   parent || '_default', key, low, key, high, columns, part, columns, columns);
END $$;
COMMENT ON FUNCTION posthorn.move_rows IS 'Moves the rows of a day out of the default partition.';

-- Whoever may read all of a table may read its days by their names as well, which is how workers
-- and gateways read them (docs/decisions/0065-days-by-their-names.md); nobody else may do
-- anything with them, whatever the owner's default privileges would have given.
CREATE FUNCTION posthorn.share_day(parent text, part text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                     FROM pg_class c, aclexplode(c.relacl) a
                    WHERE c.oid = ('posthorn.' || part)::regclass AND a.grantee <> c.relowner LOOP
        EXECUTE format('REVOKE ALL ON posthorn.%I FROM %s', part, grantee);
    END LOOP;
    FOR grantee IN SELECT DISTINCT a.grantee::regrole::text
                     FROM pg_class c, aclexplode(c.relacl) a
                    WHERE c.oid = ('posthorn.' || parent)::regclass AND a.privilege_type = 'SELECT'
                      AND a.grantee NOT IN (0, c.relowner) LOOP
        EXECUTE format('GRANT SELECT ON posthorn.%I TO %s', part, grantee);
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.share_day IS 'Gives those who may read all of a table the right to read one of its days by name, and takes every other right to it.';

CREATE FUNCTION posthorn.share_days() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    PERFORM posthorn.share_day(p.relname, c.relname)
       FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent IN ('posthorn.events'::regclass, 'posthorn.deliveries'::regclass, 'posthorn.attempts'::regclass)
        AND c.relnamespace = p.relnamespace AND c.relowner = p.relowner;
END $$;
COMMENT ON FUNCTION posthorn.share_days IS 'Shares all days as share_day shares one: after the rights to the tables have changed.';

CREATE FUNCTION posthorn.days() RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT count(*) || '.' || sum(inhrelid::bigint) FROM pg_inherits
             WHERE inhparent = 'posthorn.events'::regclass);
END $$;
COMMENT ON FUNCTION posthorn.days IS 'Which partitions the log has: whoever reads them by their names compares it, in the same snapshot.';

CREATE FUNCTION posthorn.are_all_days(known text, empty oid[]) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN known IS NULL
        OR known = posthorn.days()
           AND NOT EXISTS (SELECT FROM unnest(empty) AS day (id) WHERE pg_relation_size(day.id) > 0);
END $$;
COMMENT ON FUNCTION posthorn.are_all_days IS 'Whether what posthorn.days() said before still holds, and the partitions that had no row then have none: a reading by names was whole. NULL: it named no days.';

-- A window's rows are visible in the snapshot that it ends with, so in a later one as well: a
-- partition whose newest row is of an earlier transaction has none of them.
CREATE FUNCTION posthorn.days_since(since xid8) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part regclass;
    name text;
    newest xid8;
BEGIN
    FOR part, name IN SELECT c.oid, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                       WHERE i.inhparent = 'posthorn.events'::regclass LOOP
        CONTINUE WHEN pg_relation_size(part) = 0;
        EXECUTE format('SELECT xid FROM %s ORDER BY xid DESC, id DESC LIMIT 1', part) INTO newest;
        IF newest >= since THEN
            RETURN NEXT name;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.days_since IS 'The partitions of the log that have rows of this transaction or a later one.';

-- One day of one table. With rows to move, the application waits only for those that came
-- since the others were moved.
CREATE FUNCTION posthorn.make_partition(parent text, day date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low uuid := posthorn.uuid_floor(day::timestamptz);
    high uuid := posthorn.uuid_floor((day + 1)::timestamptz);
    key text := CASE parent WHEN 'events' THEN 'id' ELSE 'event_id' END;
    part text := parent || to_char(day, '_YYYYMMDD');
    rest text := parent || '_default';
    moves boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM posthorn.%I WHERE %I >= %L AND %I < %L)',
                   rest, key, low, key, high) INTO moves;
    IF moves THEN
        -- Before anything is moved in vain: is there a reader who stays?
        BEGIN
            PERFORM posthorn.have_alone(parent);
            RAISE EXCEPTION USING ERRCODE = 'PH001';
        EXCEPTION WHEN SQLSTATE 'PH001' THEN
        END;
    END IF;
    EXECUTE format('CREATE TABLE posthorn.%I (LIKE posthorn.%I INCLUDING DEFAULTS INCLUDING GENERATED
                        INCLUDING CONSTRAINTS INCLUDING INDEXES,
                        CONSTRAINT of_its_day CHECK (%I >= %L AND %I < %L))', part, parent, key, low, key, high);
    PERFORM posthorn.share_day(parent, part);
    IF moves AND parent = 'events' THEN
        PERFORM posthorn.move_rows(parent, part, low, high);
    END IF;
    IF moves OR day <= current_date THEN
        PERFORM posthorn.have_alone(parent);
    END IF;
    IF moves THEN
        -- The move is no change: the trigger that would refuse it is off for this
        -- transaction, which has the table to itself.
        IF parent <> 'events' THEN
            EXECUTE format('ALTER TABLE posthorn.%I DISABLE TRIGGER append_only', rest);
        END IF;
        PERFORM posthorn.move_rows(parent, part, low, high);
        IF parent <> 'events' THEN
            EXECUTE format('ALTER TABLE posthorn.%I ENABLE TRIGGER append_only', rest);
        END IF;
        -- A day is being sealed: what the rest still had to give, this partition has.
        INSERT INTO posthorn.sealing (part, records, day, reached, minutes, event)
        SELECT make_partition.parent || to_char(make_partition.day, '_YYYYMMDD'), s.records, s.day, s.reached, s.minutes, s.event
          FROM posthorn.sealing s WHERE s.part = rest;
        UPDATE posthorn.slice_parts s SET part = make_partition.parent || to_char(make_partition.day, '_YYYYMMDD')
         WHERE s.part = rest AND s.event_day = make_partition.day;
    END IF;
    -- ATTACH locks the parent less than CREATE … PARTITION OF: readers go on.
    EXECUTE format('ALTER TABLE posthorn.%I ATTACH PARTITION posthorn.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, part, low, high);
    EXECUTE format('ALTER TABLE posthorn.%I DROP CONSTRAINT of_its_day', part);
    IF parent <> 'events' THEN
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON posthorn.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change()', part);
    END IF;
END $$;
COMMENT ON FUNCTION posthorn.make_partition IS 'Makes one daily partition of events, deliveries or attempts.';

-- Each in a transaction of its own: the parent's lock lasts to its end.
CREATE FUNCTION posthorn.make_next_partition(days_ahead int) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    parent text;
    day date;
    oldest uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        SELECT d.day::date INTO day
          FROM generate_series(current_date, current_date + days_ahead, interval '1 day') AS d (day)
         WHERE to_regclass('posthorn.' || parent || to_char(d.day, '_YYYYMMDD')) IS NULL
         ORDER BY 1 LIMIT 1;
        -- Days that passed while no worker ran: retention drops partitions, and no rows. What is
        -- older than any retention has an id that tells no time.
        IF NOT FOUND THEN
            EXECUTE format('SELECT %1$I FROM posthorn.%2$I WHERE %1$I >= $1 AND %1$I < $2 ORDER BY 1 LIMIT 1',
                           CASE parent WHEN 'events' THEN 'id' ELSE 'event_id' END, parent || '_default')
               INTO oldest
              USING posthorn.uuid_floor((current_date - 3650)::timestamptz), posthorn.uuid_floor(current_date::timestamptz);
            day := posthorn.event_day(oldest);
        END IF;
        IF day IS NOT NULL THEN
            PERFORM posthorn.make_partition(parent, day);
            RETURN parent || to_char(day, '_YYYYMMDD');
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.make_next_partition IS 'Makes one daily partition that is missing, of the days from today to so many ahead and of those that have rows, and returns its name; NULL when none is missing.';

CREATE FUNCTION posthorn.make_partitions(days_ahead int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    made int := 0;
BEGIN
    WHILE posthorn.make_next_partition(days_ahead) IS NOT NULL LOOP
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION posthorn.make_partitions IS 'Makes all daily partitions that are missing, as make_next_partition makes one, and returns how many. Where rows have to be moved, publishers wait until it has ended: a worker makes one after the other.';

SELECT posthorn.make_partitions(7);

-- Days are purged: payloads go by age, while the events, the ledger and the attempts stay.

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

-- A day is purged in steps, each a transaction of its own, by whichever worker makes it.
CREATE TABLE posthorn.purging (
    day        date   NOT NULL,
    reached    uuid   NOT NULL,
    newest_xid xid8   NOT NULL,
    purged     bigint NOT NULL DEFAULT 0,
    kept       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (day)
);
COMMENT ON TABLE posthorn.purging IS 'How far the purge of a day has come; its row is gone once posthorn.purged_days has one.';
COMMENT ON COLUMN posthorn.purging.day IS 'The day of a partition, UTC.';
COMMENT ON COLUMN posthorn.purging.reached IS 'The events from this id on are still to be looked at.';
COMMENT ON COLUMN posthorn.purging.newest_xid IS 'The newest transaction that had written to it when it was begun.';
COMMENT ON COLUMN posthorn.purging.purged IS 'How many events were purged so far.';
COMMENT ON COLUMN posthorn.purging.kept IS 'How many of those before keep their payload.';

CREATE FUNCTION posthorn.day_to_purge(keep_days int, since timestamptz) RETURNS posthorn.purging
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    part   text;
    old    date;
    newest xid8;
    begun  posthorn.purging;
BEGIN
    DELETE FROM posthorn.purged_days d
     WHERE to_regclass('posthorn.events_' || to_char(d.day, 'YYYYMMDD')) IS NULL;
    DELETE FROM posthorn.purging p
     WHERE to_regclass('posthorn.events_' || to_char(p.day, 'YYYYMMDD')) IS NULL;
    FOR part, old IN
        SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD')
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'posthorn.events'::regclass AND c.relname ~ '^events_[0-9]{8}$'
         ORDER BY 1
    LOOP
        EXIT WHEN old >= current_date - keep_days;
        CONTINUE WHEN EXISTS (SELECT FROM posthorn.purged_days d WHERE d.day = old AND d.purged_at >= since);
        EXECUTE format('SELECT xid FROM posthorn.%I ORDER BY xid DESC LIMIT 1', part) INTO newest;
        CONTINUE WHEN newest IS NULL;
        -- What no worker has read yet has to be sent first, as in drop_partitions.
        CONTINUE WHEN NOT posthorn.is_read(newest);
        CONTINUE WHEN EXISTS (
            SELECT FROM posthorn.purged_days d
             WHERE d.day = old AND d.open_events = 0 AND d.newest_xid >= newest);
        INSERT INTO posthorn.purging (day, reached, newest_xid)
        VALUES (old, posthorn.uuid_floor(old::timestamptz), newest)
            ON CONFLICT DO NOTHING;
        SELECT * INTO begun FROM posthorn.purging p WHERE p.day = old;
        RETURN begun;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.day_to_purge IS 'The first day that is older than keep_days and neither done nor gone through since a time, with how far it is; NULL when there is none.';

-- By the primary keys, whatever the planner knows of a day.
CREATE FUNCTION posthorn.purge_stretch(low uuid, high uuid, OUT purged bigint, OUT kept bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    without uuid[];
BEGIN
    UPDATE posthorn.events e SET data = NULL, purged_at = now()
     WHERE e.id >= low AND e.id < high AND e.data IS NOT NULL
       AND NOT EXISTS (SELECT FROM posthorn.pending_deliveries p WHERE p.event_id = e.id);
    GET DIAGNOSTICS purged = ROW_COUNT;
    -- Receivers echo what they get, in reason phrases too. The answers follow their
    -- events: a delivery that ends between the statements keeps all for the next time.
    -- The commonest reasons quote nobody, and so most rows are left as they are.
    SELECT coalesce(array_agg(e.id), '{}') INTO without FROM posthorn.events e
     WHERE e.id >= low AND e.id < high AND e.purged_at IS NOT NULL;
    UPDATE posthorn.attempts a SET body = NULL, reason = NULL
     WHERE a.event_id >= low AND a.event_id < high
       AND (a.body IS NOT NULL
            OR a.reason NOT IN ('200 OK', '201 Created', '202 Accepted', '204 No Content'))
       AND a.event_id = ANY (without);
    -- Without an attempt the reason is our own words.
    UPDATE posthorn.deliveries d SET reason = NULL
     WHERE d.event_id >= low AND d.event_id < high
       AND d.state = 'posting_error' AND d.attempts > 0 AND d.reason IS NOT NULL
       AND d.event_id = ANY (without);
    SELECT count(*) INTO kept FROM posthorn.events e
     WHERE e.id >= low AND e.id < high AND e.data IS NOT NULL;
END $$;
COMMENT ON FUNCTION posthorn.purge_stretch IS 'Purges the payloads of a stretch of ids, but for events with an open delivery; returns how many it purged, and how many keep theirs.';

-- A few events after another until a fifth of a second is over: they may have any number of attempts.
CREATE FUNCTION posthorn.purge_step(
        keep_days int, since timestamptz, OUT day date, OUT purged bigint, OUT is_done boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    until  timestamptz;
    at     posthorn.purging;
    beyond uuid;
    high   uuid;
    more   record;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days is %; give 1 or more', keep_days;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    until := clock_timestamp() + interval '200 ms';
    at := posthorn.day_to_purge(keep_days, since);
    day := at.day;
    IF day IS NULL THEN
        RETURN;
    END IF;
    beyond := posthorn.uuid_floor((day + 1)::timestamptz);
    WHILE at.reached < beyond AND clock_timestamp() < until LOOP
        EXECUTE format('SELECT id FROM posthorn.%I WHERE id >= $1 ORDER BY id OFFSET 500 LIMIT 1',
                       'events_' || to_char(day, 'YYYYMMDD'))
           INTO high USING at.reached;
        high := coalesce(high, beyond);
        more := posthorn.purge_stretch(at.reached, high);
        at.reached := high;
        at.purged := at.purged + more.purged;
        at.kept := at.kept + more.kept;
    END LOOP;
    purged := at.purged;
    is_done := at.reached = beyond;
    IF is_done THEN
        INSERT INTO posthorn.purged_days AS d VALUES (at.day, clock_timestamp(), at.newest_xid, at.kept)
            ON CONFLICT ON CONSTRAINT purged_days_pkey DO UPDATE
            SET purged_at = excluded.purged_at, newest_xid = excluded.newest_xid,
                open_events = excluded.open_events;
        DELETE FROM posthorn.purging p WHERE p.day = at.day;
    ELSE
        UPDATE posthorn.purging p SET reached = at.reached, purged = at.purged, kept = at.kept WHERE p.day = at.day;
    END IF;
END $$;
COMMENT ON FUNCTION posthorn.purge_step IS
    'Makes a step of the purge of the first day that is older than keep_days and neither done nor gone through since a time; tells which day it was, how many events it purged so far, and whether the day is done. NULL: nothing is to do.';

-- Days are dropped, and remembered.

CREATE TABLE posthorn.dropped_days (
    day        date        NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now(),
    keep_days  int         NOT NULL,
    PRIMARY KEY (day)
);
COMMENT ON TABLE posthorn.dropped_days IS 'Days whose partitions retention has dropped: their rows are not missing.';
COMMENT ON COLUMN posthorn.dropped_days.day IS 'The day of the events.';
COMMENT ON COLUMN posthorn.dropped_days.dropped_at IS 'When.';
COMMENT ON COLUMN posthorn.dropped_days.keep_days IS 'The retention that held.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posthorn.dropped_days
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();

CREATE FUNCTION posthorn.is_day_needed(day date, part text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    low    uuid := posthorn.uuid_floor(day::timestamptz);
    beyond uuid := posthorn.uuid_floor((day + 1)::timestamptz);
    newest xid8;
BEGIN
    IF EXISTS (SELECT FROM posthorn.pending_deliveries p WHERE p.event_id >= low AND p.event_id < beyond)
       OR EXISTS (SELECT FROM posthorn.replays r
                   WHERE r.state IN ('running', 'paused')
                     AND r.after_event < beyond AND posthorn.uuid_floor(r.until) > low) THEN
        RETURN true;
    END IF;
    -- An event that no worker has read yet has no row that says so: keep the day
    -- until every shard's checkpoint, of this cluster, is past all of it.
    EXECUTE format('SELECT xid FROM posthorn.%I ORDER BY xid DESC LIMIT 1', part) INTO newest;
    RETURN newest IS NOT NULL AND NOT posthorn.is_read(newest);
END $$;
COMMENT ON FUNCTION posthorn.is_day_needed IS 'Whether a day holds an open delivery, an unread event, or one that a replay has still to read.';

-- The second look is the one that counts: whoever opens a delivery holds a lock on its event's
-- partition, so nothing can be opened between it and the drop.
CREATE FUNCTION posthorn.drop_partitions(keep_days int) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    day date;
    part text;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days is %; give 1 or more', keep_days;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    FOR part, day IN
        SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD')
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'posthorn.events'::regclass AND c.relname ~ '^events_[0-9]{8}$'
         ORDER BY 1
    LOOP
        EXIT WHEN day >= current_date - keep_days;
        CONTINUE WHEN posthorn.is_day_needed(day, part);
        EXECUTE format('LOCK TABLE posthorn.%I IN ACCESS EXCLUSIVE MODE', part);
        CONTINUE WHEN posthorn.is_day_needed(day, part);
        -- And what others have hung on it, who would keep it for ever: a view, a row type.
        EXECUTE format('DROP TABLE posthorn.%I CASCADE', part);
        EXECUTE format('DROP TABLE IF EXISTS posthorn.%I CASCADE', 'deliveries_' || right(part, 8));
        EXECUTE format('DROP TABLE IF EXISTS posthorn.%I CASCADE', 'attempts_' || right(part, 8));
        INSERT INTO posthorn.dropped_days (day, keep_days) VALUES (day, keep_days) ON CONFLICT DO NOTHING;
        RETURN NEXT part;
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.drop_partitions IS 'Drops the days older than keep_days that hold no open delivery, no unread event, and none that a replay has still to read; returns their names.';
