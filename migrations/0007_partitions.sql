-- Daily partitions, made ahead of time and dropped whole. Both functions run with the
-- schema owner's rights, so that a worker's role needs no DDL of its own, and give up
-- after a second of waiting for a lock rather than queue everybody behind them.

CREATE FUNCTION posthorn.make_partitions(days_ahead int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    day date;
    parent text;
    made int := 0;
BEGIN
    FOR day IN SELECT generate_series(current_date, current_date + days_ahead, interval '1 day')::date LOOP
        FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
            EXECUTE format('CREATE TABLE posthorn.%I PARTITION OF posthorn.%I FOR VALUES FROM (%L) TO (%L)',
                           parent || to_char(day, '_YYYYMMDD'), parent,
                           posthorn.uuid_floor(day::timestamptz), posthorn.uuid_floor((day + 1)::timestamptz));
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION posthorn.make_partitions IS 'Makes the daily partitions from today to so many days ahead; returns how many it made.';

CREATE FUNCTION posthorn.drop_partitions(keep_days int) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    day date;
    part text;
    newest xid8;
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
        CONTINUE WHEN EXISTS (
            SELECT FROM posthorn.pending_deliveries p
             WHERE p.event_id >= posthorn.uuid_floor(day::timestamptz)
               AND p.event_id < posthorn.uuid_floor((day + 1)::timestamptz));
        -- An event that no worker has read yet has no row that says so: keep the day
        -- until every shard's checkpoint, of this cluster, is past all of it.
        EXECUTE format('SELECT xid FROM posthorn.%I ORDER BY xid DESC LIMIT 1', part) INTO newest;
        CONTINUE WHEN newest IS NOT NULL AND EXISTS (
            SELECT FROM posthorn.shards s
             WHERE s.cluster <> posthorn.cluster() OR newest >= pg_snapshot_xmin(s.checkpoint));
        -- And what others have hung on it, who would keep it for ever: a view, a row type.
        EXECUTE format('DROP TABLE posthorn.%I CASCADE', part);
        EXECUTE format('DROP TABLE IF EXISTS posthorn.%I CASCADE', 'deliveries_' || right(part, 8));
        EXECUTE format('DROP TABLE IF EXISTS posthorn.%I CASCADE', 'attempts_' || right(part, 8));
        RETURN NEXT part;
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.drop_partitions IS 'Drops the days older than keep_days that hold no open delivery and no unread event; returns their names.';

REVOKE ALL ON FUNCTION posthorn.make_partitions, posthorn.drop_partitions FROM PUBLIC;

SELECT posthorn.make_partitions(7);
