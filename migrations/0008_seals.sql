-- A digest of what was written on each day, so that whoever keeps it elsewhere can tell that
-- a row was altered, added or removed since: also by those whom no trigger stops.

CREATE TABLE posthorn.seals (
    day               date        NOT NULL,
    deliveries        bigint      NOT NULL,
    deliveries_digest bytea       NOT NULL CHECK (octet_length(deliveries_digest) = 32),
    attempts          bigint      NOT NULL,
    attempts_digest   bytea       NOT NULL CHECK (octet_length(attempts_digest) = 32),
    previous          bytea       NOT NULL CHECK (octet_length(previous) = 32),
    seal              bytea       NOT NULL CHECK (octet_length(seal) = 32),
    sealed_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (day)
);
COMMENT ON TABLE posthorn.seals IS 'One for each day, UTC, on which rows of the ledger and attempts were written; each vouches for all before it.';
COMMENT ON COLUMN posthorn.seals.day IS 'The day of finished_at and recorded_at.';
COMMENT ON COLUMN posthorn.seals.deliveries IS 'Rows that posthorn.deliveries got on it.';
COMMENT ON COLUMN posthorn.seals.deliveries_digest IS 'SHA-256 over its slices of deliveries.';
COMMENT ON COLUMN posthorn.seals.attempts IS 'Rows that posthorn.attempts got on it.';
COMMENT ON COLUMN posthorn.seals.attempts_digest IS 'SHA-256 over its slices of attempts.';
COMMENT ON COLUMN posthorn.seals.previous IS 'The seal of the day before; zeros in the first.';
COMMENT ON COLUMN posthorn.seals.seal IS 'posthorn.seal_of(the columns before).';
COMMENT ON COLUMN posthorn.seals.sealed_at IS 'When.';

CREATE TABLE posthorn.seal_slices (
    day       date        NOT NULL,
    records   text        NOT NULL CHECK (records IN ('deliveries', 'attempts')),
    event_day date        NOT NULL,
    minute    timestamptz NOT NULL,
    row_count int         NOT NULL,
    digest    bytea       NOT NULL CHECK (octet_length(digest) = 32),
    marks     bytea       NOT NULL CHECK (octet_length(marks) = 4 * row_count),
    PRIMARY KEY (day, records, event_day, minute)
);
-- As good as random: compression would only cost time.
ALTER TABLE posthorn.seal_slices ALTER COLUMN marks SET STORAGE EXTERNAL;
COMMENT ON TABLE posthorn.seal_slices IS 'What a seal is made of: the rows of one minute and one partition.';
COMMENT ON COLUMN posthorn.seal_slices.day IS 'The sealed day.';
COMMENT ON COLUMN posthorn.seal_slices.records IS 'deliveries or attempts.';
COMMENT ON COLUMN posthorn.seal_slices.event_day IS 'The day of the rows'' events, and so their partition: it can be earlier.';
COMMENT ON COLUMN posthorn.seal_slices.minute IS 'When they were written.';
COMMENT ON COLUMN posthorn.seal_slices.row_count IS 'How many.';
COMMENT ON COLUMN posthorn.seal_slices.digest IS 'SHA-256 of the rows'' digests in the order of their key.';
COMMENT ON COLUMN posthorn.seal_slices.marks IS 'Four bytes of each row''s digest in that order: they tell which row it was.';

CREATE TABLE posthorn.closing_day (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    day      date NOT NULL,
    xid      xid8 NOT NULL,
    cluster  text NOT NULL
);
COMMENT ON TABLE posthorn.closing_day IS 'One row: the day that is sealed next.';
COMMENT ON COLUMN posthorn.closing_day.only_row IS 'Keeps the table at one row.';
COMMENT ON COLUMN posthorn.closing_day.day IS 'The day.';
COMMENT ON COLUMN posthorn.closing_day.xid IS 'Transactions from this one on began after it; older ones may still write rows of it.';
COMMENT ON COLUMN posthorn.closing_day.cluster IS 'Where that number means something; a restart has ended the others.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posthorn.seals
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON posthorn.seal_slices
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();
CREATE FUNCTION posthorn.refuse_delete_but_dropped() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM posthorn.dropped_days d WHERE d.day = OLD.event_day) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'posthorn.% is append-only; its rows are evidence', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION posthorn.refuse_delete_but_dropped IS 'Trigger: lets slices go whose rows have gone.';
CREATE TRIGGER kept_while_rows_are BEFORE DELETE ON posthorn.seal_slices
    FOR EACH ROW EXECUTE FUNCTION posthorn.refuse_delete_but_dropped();

-- What is digested of a row: JSON text that anybody can make of its columns. Times are
-- microseconds since 1970, digests hexadecimal.

-- STABLE and not STRICT, as what they call: only so are they put into the statement in
-- place of a call for each row.
CREATE FUNCTION posthorn.micros(moment timestamptz) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (extract(epoch FROM moment) * 1000000)::bigint;
COMMENT ON FUNCTION posthorn.micros IS 'Microseconds since 1970.';

-- Of a reason its digest, so that it can be purged where it quotes an answer.
CREATE FUNCTION posthorn.delivery_digest(d posthorn.deliveries) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sha256(convert_to(json_build_array(
        (d).event_id, (d).subscription_id, (d).generation, (d).state, (d).attempts,
        encode(coalesce((d).reason_digest, sha256(convert_to((d).reason, 'UTF8'))), 'hex'),
        posthorn.micros((d).finished_at))::text, 'UTF8'));
COMMENT ON FUNCTION posthorn.delivery_digest IS 'SHA-256 of a row of the ledger.';

-- Of what an answer said its digests, so that the text can be purged.
CREATE FUNCTION posthorn.attempt_digest(a posthorn.attempts) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sha256(convert_to(json_build_array(
        (a).event_id, (a).subscription_id, (a).generation, (a).number,
        posthorn.micros((a).started_at), (a).duration_us, (a).outcome, (a).http_status,
        encode(coalesce((a).reason_digest, sha256(convert_to((a).reason, 'UTF8'))), 'hex'),
        encode(coalesce((a).answer_digest, sha256(convert_to((a).body, 'UTF8'))), 'hex'),
        posthorn.micros((a).recorded_at), (a).revision, (a).tls, host((a).peer), host((a).proxy),
        encode((a).head_digest, 'hex'), encode((a).payload_digest, 'hex'))::text, 'UTF8'));
COMMENT ON FUNCTION posthorn.attempt_digest IS 'SHA-256 of an attempt''s row.';

-- By the BRIN indexes and nothing else: they leave out all but the pages of the time.
-- With the owner's rights: a viewer compares digests of whole rows, and does not see all of them.
CREATE FUNCTION posthorn.digested_rows(records text, low timestamptz, high timestamptz)
    RETURNS TABLE (event_id uuid, subscription_id uuid, generation int, number int,
                   minute timestamptz, digest bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    SET enable_indexscan = off SET enable_seqscan = off
AS $$
BEGIN
    IF records = 'deliveries' THEN
        RETURN QUERY
        SELECT d.event_id, d.subscription_id, d.generation, 0, date_trunc('minute', d.finished_at),
               posthorn.delivery_digest(d)
          FROM posthorn.deliveries d WHERE d.finished_at >= low AND d.finished_at < high;
    ELSE
        RETURN QUERY
        SELECT a.event_id, a.subscription_id, a.generation, a.number, date_trunc('minute', a.recorded_at),
               posthorn.attempt_digest(a)
          FROM posthorn.attempts a WHERE a.recorded_at >= low AND a.recorded_at < high;
    END IF;
END $$;
COMMENT ON FUNCTION posthorn.digested_rows IS 'The rows of deliveries or attempts that were written in a stretch of time.';

CREATE FUNCTION posthorn.slices(records text, low timestamptz, high timestamptz)
    RETURNS TABLE (event_day date, minute timestamptz, row_count int, digest bytea, marks bytea)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT posthorn.event_day(r.event_id), r.minute, count(*)::int,
           sha256(string_agg(r.digest, '' ORDER BY r.event_id, r.subscription_id, r.generation, r.number)),
           string_agg(substr(r.digest, 1, 4), '' ORDER BY r.event_id, r.subscription_id, r.generation, r.number)
      FROM posthorn.digested_rows($1, $2, $3) r
     GROUP BY 1, 2
$$;
COMMENT ON FUNCTION posthorn.slices IS 'The slices of a stretch of time as the rows are now; whole minutes only.';

CREATE FUNCTION posthorn.slices_digest(day date, records text) RETURNS bytea
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
    SELECT sha256(convert_to(coalesce(string_agg(
               format(E'%s %s %s %s\n', to_char(s.event_day, 'YYYY-MM-DD'), to_char(s.minute, 'HH24:MI'),
                      s.row_count, encode(s.digest, 'hex')), '' ORDER BY s.event_day, s.minute), ''), 'UTF8'))
      FROM posthorn.seal_slices s WHERE s.day = $1 AND s.records = $2
$$;
COMMENT ON FUNCTION posthorn.slices_digest IS 'SHA-256 over the stored slices of a day, a line of text each.';

CREATE FUNCTION posthorn.seal_of(
    previous bytea, day date, deliveries bigint, deliveries_digest bytea, attempts bigint, attempts_digest bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sha256(convert_to(format('%s %s %s %s %s %s', encode(previous, 'hex'), to_char(day, 'YYYY-MM-DD'),
        deliveries, encode(deliveries_digest, 'hex'), attempts, encode(attempts_digest, 'hex')), 'UTF8'));
COMMENT ON FUNCTION posthorn.seal_of IS 'The seal of a day: SHA-256 of one line of text.';

-- A day is closed when it has been over for an hour (clocks step back) and every transaction
-- that ran by then has ended: rows carry the clock's time of their insert.
CREATE FUNCTION posthorn.seal_next_day() RETURNS date
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    last    posthorn.seals;
    sealed    date;
    closing posthorn.closing_day;
    part    regclass;
    step    interval := '10 minutes';
    at      timestamptz;
    made    posthorn.seals;
BEGIN
    -- Another worker is at it.
    IF NOT pg_try_advisory_xact_lock(hashtext('posthorn.seals')) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO last FROM posthorn.seals s ORDER BY s.day DESC LIMIT 1;
    -- The first: nothing was written before the oldest event's day.
    sealed := coalesce(last.day + 1, (
        SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD'))
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'posthorn.deliveries'::regclass AND c.relname ~ '^deliveries_[0-9]{8}$'));
    IF sealed IS NULL OR clock_timestamp() < (sealed + 1)::timestamptz + interval '1 hour' THEN
        RETURN NULL;
    END IF;
    SELECT * INTO closing FROM posthorn.closing_day c WHERE c.day = sealed;
    IF NOT FOUND THEN
        INSERT INTO posthorn.closing_day AS c (day, xid, cluster)
        VALUES (sealed, pg_snapshot_xmax(pg_current_snapshot()), posthorn.cluster())
            ON CONFLICT (only_row) DO UPDATE
            SET day = excluded.day, xid = excluded.xid, cluster = excluded.cluster
        RETURNING c.* INTO closing;
    END IF;
    IF closing.cluster = posthorn.cluster() AND pg_snapshot_xmin(pg_current_snapshot()) < closing.xid THEN
        RETURN NULL;
    END IF;
    -- Pages that no index entry sums up yet would be read for every step.
    FOR part IN SELECT relid FROM pg_partition_tree('posthorn.deliveries_finished') WHERE isleaf
                UNION ALL SELECT relid FROM pg_partition_tree('posthorn.attempts_recorded') WHERE isleaf LOOP
        PERFORM brin_summarize_new_values(part);
    END LOOP;
    -- In steps, so that a day of any size is sorted in memory.
    at := sealed::timestamptz;
    WHILE at < (sealed + 1)::timestamptz LOOP
        INSERT INTO posthorn.seal_slices
        SELECT sealed, r.records, s.event_day, s.minute, s.row_count, s.digest, s.marks
          FROM unnest(ARRAY['deliveries', 'attempts']) AS r (records)
         CROSS JOIN LATERAL posthorn.slices(r.records, at, at + step) s;
        at := at + step;
    END LOOP;
    made.day := sealed;
    SELECT coalesce(sum(s.row_count) FILTER (WHERE s.records = 'deliveries'), 0),
           coalesce(sum(s.row_count) FILTER (WHERE s.records = 'attempts'), 0)
      INTO made.deliveries, made.attempts
      FROM posthorn.seal_slices s WHERE s.day = sealed;
    made.deliveries_digest := posthorn.slices_digest(sealed, 'deliveries');
    made.attempts_digest := posthorn.slices_digest(sealed, 'attempts');
    made.previous := coalesce(last.seal, decode(repeat('00', 32), 'hex'));
    made.seal := posthorn.seal_of(made.previous, sealed, made.deliveries, made.deliveries_digest,
                                  made.attempts, made.attempts_digest);
    made.sealed_at := clock_timestamp();
    INSERT INTO posthorn.seals SELECT made.*;
    -- Slices are of use while there are rows to compare with.
    DELETE FROM posthorn.seal_slices s
     WHERE s.day IN (
        SELECT o.day FROM posthorn.seal_slices o
         WHERE o.day IN (SELECT d.day FROM posthorn.dropped_days d)
         GROUP BY o.day
        HAVING bool_and(EXISTS (SELECT FROM posthorn.dropped_days d WHERE d.day = o.event_day)));
    RETURN sealed;
END $$;
COMMENT ON FUNCTION posthorn.seal_next_day IS 'Seals the day after the last sealed one and returns it; NULL while that is not closed.';
