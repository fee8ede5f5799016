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
COMMENT ON TABLE posthorn.seal_slices IS 'What a seal is made of: the rows of one minute and one partition. A day without a seal has those that were made so far.';
COMMENT ON COLUMN posthorn.seal_slices.day IS 'The day of the seal.';
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

-- A day is sealed in steps, each a transaction of its own, by whichever worker makes it.
CREATE TABLE posthorn.sealing (
    part      text        NOT NULL,
    records   text        NOT NULL CHECK (records IN ('deliveries', 'attempts')),
    day       date        NOT NULL,
    summed_to bigint      NOT NULL DEFAULT 0,
    reached   timestamptz NOT NULL,
    minutes   int         NOT NULL DEFAULT 1440 CHECK (minutes BETWEEN 1 AND 1440),
    event     uuid,
    PRIMARY KEY (part)
);
COMMENT ON TABLE posthorn.sealing IS 'How far the sealing of a day has come: a row for each partition that there was when it began, gone once the day is sealed.';
COMMENT ON COLUMN posthorn.sealing.part IS 'The partition.';
COMMENT ON COLUMN posthorn.sealing.records IS 'Of which table: deliveries or attempts.';
COMMENT ON COLUMN posthorn.sealing.day IS 'The day that is being sealed.';
COMMENT ON COLUMN posthorn.sealing.summed_to IS 'The index sums up the pages before this one.';
COMMENT ON COLUMN posthorn.sealing.reached IS 'The rows that were written before have their slices; at the end of the day the partition is done.';
COMMENT ON COLUMN posthorn.sealing.minutes IS 'How many minutes to try at once: half as many when they have too many rows, twice as many when they have few.';
COMMENT ON COLUMN posthorn.sealing.event IS 'Within a minute that is too large for one step: up to this event its rows are in posthorn.slice_parts.';

CREATE TABLE posthorn.slice_parts (
    part      text  NOT NULL,
    first     uuid  NOT NULL,
    event_day date  NOT NULL,
    row_count int   NOT NULL,
    digests   bytea NOT NULL,
    marks     bytea NOT NULL,
    PRIMARY KEY (part, first)
);
ALTER TABLE posthorn.slice_parts ALTER COLUMN digests SET STORAGE EXTERNAL, ALTER COLUMN marks SET STORAGE EXTERNAL;
COMMENT ON TABLE posthorn.slice_parts IS 'What is there of the slices of a minute that is too large for one step; empty as a rule.';
COMMENT ON COLUMN posthorn.slice_parts.part IS 'The partition, as in posthorn.sealing.';
COMMENT ON COLUMN posthorn.slice_parts.first IS 'The event of the first row; the parts of a slice are in this order.';
COMMENT ON COLUMN posthorn.slice_parts.event_day IS 'The day of the events.';
COMMENT ON COLUMN posthorn.slice_parts.row_count IS 'How many rows.';
COMMENT ON COLUMN posthorn.slice_parts.digests IS 'The rows'' digests, one behind the other.';
COMMENT ON COLUMN posthorn.slice_parts.marks IS 'Four bytes of each.';

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
-- ROW() of columns, and not the row of the table: of a partition that is one of another type,
-- which would be turned into the table's once for each column that is digested.
CREATE FUNCTION posthorn.digested_rows(
        records text, part text, low timestamptz, high timestamptz, behind uuid DEFAULT NULL, upto uuid DEFAULT NULL)
    RETURNS TABLE (event_id uuid, subscription_id uuid, generation int, number int,
                   minute timestamptz, digest bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    SET enable_indexscan = off SET enable_seqscan = off
AS $$
DECLARE
    is_ledger boolean  := records = 'deliveries';
    whole     regclass := CASE WHEN is_ledger THEN 'posthorn.deliveries' ELSE 'posthorn.attempts' END;
    written   text     := CASE WHEN is_ledger THEN 'finished_at' ELSE 'recorded_at' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_partition_tree(whole) t WHERE t.relid = to_regclass(format('posthorn.%I', part))) THEN
        RAISE EXCEPTION '% is not %, nor a partition of it', part, whole;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT event_id, subscription_id, generation, %s, date_trunc(''minute'', %I), posthorn.%I(ROW(%s)::%s)
           FROM posthorn.%I
          WHERE %I >= $1 AND %I < $2 AND ($3 IS NULL OR event_id > $3) AND ($4 IS NULL OR event_id <= $4)',
        CASE WHEN is_ledger THEN '0' ELSE 'number' END, written,
        CASE WHEN is_ledger THEN 'delivery_digest' ELSE 'attempt_digest' END,
        (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
          WHERE a.attrelid = whole AND a.attnum > 0 AND NOT a.attisdropped),
        whole, part, written, written)
      USING low, high, behind, upto;
END $$;
COMMENT ON FUNCTION posthorn.digested_rows IS 'The rows of deliveries or attempts, or of a partition of these, that were written in a stretch of time; only those of events behind one and up to another, where these are given.';

CREATE FUNCTION posthorn.slices(records text, part text, low timestamptz, high timestamptz)
    RETURNS TABLE (event_day date, minute timestamptz, row_count int, digest bytea, marks bytea)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT posthorn.event_day(r.event_id), r.minute, count(*)::int,
           sha256(string_agg(r.digest, '' ORDER BY r.event_id, r.subscription_id, r.generation, r.number)),
           string_agg(substr(r.digest, 1, 4), '' ORDER BY r.event_id, r.subscription_id, r.generation, r.number)
      FROM posthorn.digested_rows($1, $2, $3, $4) r
     GROUP BY 1, 2
$$;
COMMENT ON FUNCTION posthorn.slices IS 'The slices of a stretch of time as the rows of a table or a partition are now; whole minutes only.';

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
CREATE FUNCTION posthorn.day_to_seal() RETURNS date
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    unsealed date;
    closing  posthorn.closing_day;
BEGIN
    SELECT max(s.day) + 1 INTO unsealed FROM posthorn.seals s;
    -- The first: nothing was written before the oldest event's day.
    IF unsealed IS NULL THEN
        SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD')) INTO unsealed
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'posthorn.deliveries'::regclass AND c.relname ~ '^deliveries_[0-9]{8}$';
    END IF;
    -- A day that was begun is closed.
    IF EXISTS (SELECT FROM posthorn.sealing s WHERE s.day = unsealed) THEN
        RETURN unsealed;
    END IF;
    IF unsealed IS NULL OR clock_timestamp() < (unsealed + 1)::timestamptz + interval '1 hour' THEN
        RETURN NULL;
    END IF;
    SELECT * INTO closing FROM posthorn.closing_day c WHERE c.day = unsealed;
    IF NOT FOUND THEN
        INSERT INTO posthorn.closing_day AS c (day, xid, cluster)
        VALUES (unsealed, pg_snapshot_xmax(pg_current_snapshot()), posthorn.cluster())
            ON CONFLICT (only_row) DO UPDATE
            SET day = excluded.day, xid = excluded.xid, cluster = excluded.cluster
        RETURNING c.* INTO closing;
    END IF;
    IF closing.cluster = posthorn.cluster() AND pg_snapshot_xmin(pg_current_snapshot()) < closing.xid THEN
        RETURN NULL;
    END IF;
    RETURN unsealed;
END $$;
COMMENT ON FUNCTION posthorn.day_to_seal IS 'The day after the last sealed one; NULL while that is not closed.';

-- Every partition may have rows of the day: replays write to old ones. While no partition is made
-- or dropped; one that takes rows from the default partition later takes along how far that was.
CREATE FUNCTION posthorn.begin_sealing(unsealed date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    INSERT INTO posthorn.sealing (part, records, day, reached)
    SELECT c.relname, p.relname, unsealed, unsealed::timestamptz
      FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent IN ('posthorn.deliveries'::regclass, 'posthorn.attempts'::regclass);
END $$;
COMMENT ON FUNCTION posthorn.begin_sealing IS 'Notes what there is to read for the seal of a day.';

-- Autovacuum sums pages up as well, but for the last ones. It is not sent away for this.
CREATE FUNCTION posthorn.sum_up(part text, first bigint, until timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
    relation regclass := format('posthorn.%I', part);
    pages    bigint   := pg_relation_size(relation) / current_setting('block_size')::int;
    times    regclass;
BEGIN
    IF first < pages THEN
        SELECT x.indexrelid INTO times
          FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indexrelid
         WHERE x.indrelid = relation
           AND i.inhparent IN ('posthorn.deliveries_finished'::regclass, 'posthorn.attempts_recorded'::regclass);
    END IF;
    WHILE first < pages AND clock_timestamp() < until LOOP
        PERFORM brin_summarize_range(times, first);
        first := least(first + 128, pages);
    END LOOP;
    RETURN first;
EXCEPTION WHEN lock_not_available THEN
    RETURN first;
END $$;
COMMENT ON FUNCTION posthorn.sum_up IS 'Has the index on the time of writing sum up pages that it does not yet, which would be read for every stretch; returns up to where it came in time.';

-- In the order of the rows' key, so the slice is made of its parts as it would be made of the rows.
CREATE FUNCTION posthorn.seal_part(at posthorn.sealing, most int) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written text        := CASE at.records WHEN 'deliveries' THEN 'finished_at' ELSE 'recorded_at' END;
    high    timestamptz := at.reached + interval '1 minute';
    upto    uuid;
BEGIN
    EXECUTE format('SELECT event_id
                      FROM (SELECT event_id FROM posthorn.%I
                             WHERE %I >= $1 AND %I < $2 AND ($3 IS NULL OR event_id > $3)
                             ORDER BY event_id LIMIT $4) AS r
                     ORDER BY event_id DESC LIMIT 1', at.part, written, written)
       INTO upto USING at.reached, high, at.event, most;
    IF upto IS NOT NULL THEN
        INSERT INTO posthorn.slice_parts (part, first, event_day, row_count, digests, marks)
        SELECT at.part, (array_agg(r.event_id ORDER BY r.event_id))[1], posthorn.event_day(r.event_id), count(*),
               string_agg(r.digest, '' ORDER BY r.event_id, r.subscription_id, r.generation, r.number),
               string_agg(substr(r.digest, 1, 4), '' ORDER BY r.event_id, r.subscription_id, r.generation, r.number)
          FROM posthorn.digested_rows(at.records, at.part, at.reached, high, at.event, upto) r
         GROUP BY 3;
        UPDATE posthorn.sealing s SET minutes = 1, event = upto WHERE s.part = at.part;
        RETURN;
    END IF;
    INSERT INTO posthorn.seal_slices
    SELECT at.day, at.records, p.event_day, at.reached, sum(p.row_count),
           sha256(string_agg(p.digests, '' ORDER BY p.first)), string_agg(p.marks, '' ORDER BY p.first)
      FROM posthorn.slice_parts p WHERE p.part = at.part
     GROUP BY p.event_day;
    DELETE FROM posthorn.slice_parts p WHERE p.part = at.part;
    UPDATE posthorn.sealing s SET reached = high, event = NULL WHERE s.part = at.part;
END $$;
COMMENT ON FUNCTION posthorn.seal_part IS 'Takes the next rows of a minute that is too large for one step, and makes its slices when none is left.';

-- As many minutes as have up to 10,000 rows; of one that has more, as many rows.
CREATE FUNCTION posthorn.seal_stretch(at posthorn.sealing) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    SET enable_indexscan = off SET enable_seqscan = off
AS $$
DECLARE
    most    int         := 10000;
    written text        := CASE at.records WHEN 'deliveries' THEN 'finished_at' ELSE 'recorded_at' END;
    ends    timestamptz := (at.day + 1)::timestamptz;
    high    timestamptz;
    there   int;
BEGIN
    LOOP
        high := least(at.reached + at.minutes * interval '1 minute', ends);
        EXECUTE format('SELECT count(*) FROM (SELECT FROM posthorn.%I WHERE %I >= $1 AND %I < $2 LIMIT $3) AS r',
                       at.part, written, written)
           INTO there USING at.reached, high, most + 1;
        EXIT WHEN there <= most OR at.minutes = 1;
        at.minutes := at.minutes / 2;
    END LOOP;
    IF there > most OR at.event IS NOT NULL THEN
        PERFORM posthorn.seal_part(at, most);
        RETURN;
    END IF;
    IF there > 0 THEN
        INSERT INTO posthorn.seal_slices
        SELECT at.day, at.records, s.event_day, s.minute, s.row_count, s.digest, s.marks
          FROM posthorn.slices(at.records, at.part, at.reached, high) s;
    END IF;
    IF there < most / 2 THEN
        at.minutes := least(2 * at.minutes, 1440);
    END IF;
    UPDATE posthorn.sealing s SET reached = high, minutes = at.minutes WHERE s.part = at.part;
END $$;
COMMENT ON FUNCTION posthorn.seal_stretch IS 'Makes the slices of the next minutes of a partition.';

CREATE FUNCTION posthorn.make_seal(unsealed date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    made posthorn.seals;
BEGIN
    made.day := unsealed;
    SELECT coalesce(sum(s.row_count) FILTER (WHERE s.records = 'deliveries'), 0),
           coalesce(sum(s.row_count) FILTER (WHERE s.records = 'attempts'), 0)
      INTO made.deliveries, made.attempts
      FROM posthorn.seal_slices s WHERE s.day = unsealed;
    made.deliveries_digest := posthorn.slices_digest(unsealed, 'deliveries');
    made.attempts_digest := posthorn.slices_digest(unsealed, 'attempts');
    made.previous := coalesce((SELECT s.seal FROM posthorn.seals s ORDER BY s.day DESC LIMIT 1),
                              decode(repeat('00', 32), 'hex'));
    made.seal := posthorn.seal_of(made.previous, unsealed, made.deliveries, made.deliveries_digest,
                                  made.attempts, made.attempts_digest);
    made.sealed_at := clock_timestamp();
    INSERT INTO posthorn.seals SELECT made.*;
    DELETE FROM posthorn.sealing;
    DELETE FROM posthorn.slice_parts;
END $$;
COMMENT ON FUNCTION posthorn.make_seal IS 'Seals a day all of whose slices are made.';

-- Slices are of use while there are rows to compare with.
CREATE FUNCTION posthorn.forget_slices() RETURNS date
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forgotten date;
BEGIN
    SELECT o.day INTO forgotten FROM posthorn.seal_slices o
     WHERE o.day IN (SELECT d.day FROM posthorn.dropped_days d)
     GROUP BY o.day
    HAVING bool_and(EXISTS (SELECT FROM posthorn.dropped_days d WHERE d.day = o.event_day))
     ORDER BY o.day LIMIT 1;
    DELETE FROM posthorn.seal_slices s WHERE s.day = forgotten;
    RETURN forgotten;
END $$;
COMMENT ON FUNCTION posthorn.forget_slices IS 'Deletes the slices of a day whose rows have all gone, and returns it; NULL when there is none.';

-- One worker at a time, each when it is its turn: what there is to do is in posthorn.sealing.
CREATE FUNCTION posthorn.seal_step(OUT day date, OUT is_sealed boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '10s'
AS $$
DECLARE
    until timestamptz;
    at    posthorn.sealing;
    pages bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.seals'));
    until := clock_timestamp() + interval '100 ms';
    is_sealed := false;
    day := posthorn.day_to_seal();
    IF day IS NULL THEN
        day := posthorn.forget_slices();
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM posthorn.sealing s WHERE s.day = seal_step.day) THEN
        PERFORM posthorn.begin_sealing(day);
    END IF;
    WHILE clock_timestamp() < until LOOP
        SELECT * INTO at FROM posthorn.sealing s
         WHERE s.day = seal_step.day AND s.reached < (seal_step.day + 1)::timestamptz ORDER BY s.part LIMIT 1;
        IF NOT FOUND THEN
            PERFORM posthorn.make_seal(day);
            is_sealed := true;
            RETURN;
        END IF;
        BEGIN
            -- From now on no row is moved out of it.
            EXECUTE format('LOCK TABLE ONLY posthorn.%I IN ACCESS SHARE MODE', at.part);
        EXCEPTION WHEN undefined_table THEN
            -- Retention was faster.
            DELETE FROM posthorn.sealing s WHERE s.part = at.part;
            CONTINUE;
        END;
        pages := posthorn.sum_up(at.part, at.summed_to, until);
        UPDATE posthorn.sealing s SET summed_to = pages WHERE s.part = at.part AND s.summed_to <> pages;
        EXIT WHEN clock_timestamp() >= until;
        PERFORM posthorn.seal_stretch(at);
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.seal_step IS 'Makes a step of the sealing of the day after the last sealed one, as long as a fifth of a second as a rule; tells which day it was, and whether it is sealed now. NULL: that day is not closed yet, and nothing is to do.';
