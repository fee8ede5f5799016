-- Tables of the provider whose changes of status become events by themselves, and what comes of
-- comparing the tables with the events.

-- What reads a table is a trigger function for each source, which `posthorn source attach` writes:
-- it runs with the rights of whoever changes the table, because it evaluates types, casts and
-- functions that the table's owner may define. It leaves plain text in settings of the transaction,
-- and the trigger right behind it, append_source_rows, makes events of that with the owner's rights
-- (docs/decisions/0036-a-source-reads-with-the-rights-of-the-writer.md).

CREATE TABLE posthorn.sources (
    name            text        NOT NULL PRIMARY KEY,
    relation        regclass    NOT NULL,
    table_name      text        NOT NULL,
    merchant_column text        NOT NULL,
    id_column       text        NOT NULL,
    status_column   text        NOT NULL,
    kind            text,
    kind_sql        text,
    data_columns    text[],
    text_columns    text[]      NOT NULL DEFAULT '{}',
    data_sql        text,
    condition       text,
    on_insert       boolean     NOT NULL,
    on_update       boolean     NOT NULL,
    on_failure      text        NOT NULL CHECK (on_failure IN ('block', 'record')),
    columns_read    text[]      NOT NULL,
    members         regclass[]  NOT NULL,
    attached_at     timestamptz NOT NULL DEFAULT now(),
    compare_role    text,
    made_at_column  text,
    condition_read  text,
    kind_read       text,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    since_xid       xid8        NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot()),
    since_server    bigint      NOT NULL,
    -- It is part of the names of a function and of triggers, which have at most 63.
    CONSTRAINT sources_name_has_1_to_40_bytes  CHECK (octet_length(name) BETWEEN 1 AND 40),
    CONSTRAINT sources_kind_has_one_origin     CHECK ((kind IS NULL) <> (kind_sql IS NULL)),
    CONSTRAINT sources_data_has_one_origin     CHECK (data_columns IS NULL OR data_sql IS NULL),
    CONSTRAINT sources_listen_to_something     CHECK (on_insert OR on_update)
);
COMMENT ON TABLE posthorn.sources IS 'Tables whose changes of status become events; written by `posthorn source`.';
COMMENT ON COLUMN posthorn.sources.name IS 'Names the trigger function, posthorn.source_NAME.';
COMMENT ON COLUMN posthorn.sources.relation IS 'The table, or the root of the partitions.';
COMMENT ON COLUMN posthorn.sources.table_name IS 'Its name when it was attached, with the schema, quoted: another table may have it by now.';
COMMENT ON COLUMN posthorn.sources.merchant_column IS 'Where an event''s merchant comes from.';
COMMENT ON COLUMN posthorn.sources.id_column IS 'Where its transaction_id comes from.';
COMMENT ON COLUMN posthorn.sources.status_column IS 'Where its status comes from; a change of it makes the event.';
COMMENT ON COLUMN posthorn.sources.kind IS 'The kind of every event, or NULL: kind_sql gives it.';
COMMENT ON COLUMN posthorn.sources.kind_sql IS 'An SQL expression over the rows new and old.';
COMMENT ON COLUMN posthorn.sources.data_columns IS 'Columns that travel as data, in this order; NULL, and data_sql too: all.';
COMMENT ON COLUMN posthorn.sources.text_columns IS 'Columns of the data whose values travel as JSON strings.';
COMMENT ON COLUMN posthorn.sources.data_sql IS 'An SQL expression over the rows new and old that gives json or jsonb.';
COMMENT ON COLUMN posthorn.sources.condition IS 'An SQL condition over the rows new and old; NULL: every change counts.';
COMMENT ON COLUMN posthorn.sources.on_insert IS 'Whether a new row with a status makes an event.';
COMMENT ON COLUMN posthorn.sources.on_update IS 'Whether a changed status makes an event.';
COMMENT ON COLUMN posthorn.sources.on_failure IS 'block: the change fails; record: it goes on, and source_failures tells of it.';
COMMENT ON COLUMN posthorn.sources.columns_read IS 'All columns that the source names, the primary key''s included.';
COMMENT ON COLUMN posthorn.sources.members IS 'The table and its partitions that have the triggers.';
COMMENT ON COLUMN posthorn.sources.attached_at IS 'When it was attached last.';
COMMENT ON COLUMN posthorn.sources.compare_role IS 'Who may read the table, to compare it with the events; NULL: nobody, and it is not compared.';
COMMENT ON COLUMN posthorn.sources.made_at_column IS 'The time at which a row was made; NULL: rows without an event are not looked for.';
COMMENT ON COLUMN posthorn.sources.condition_read IS 'The condition as the source''s function has it, its names with their schemas.';
COMMENT ON COLUMN posthorn.sources.kind_read IS 'The expression of the kind as the source''s function has it, its names with their schemas.';
COMMENT ON COLUMN posthorn.sources.since IS 'When it was attached first with these columns, this condition and these changes: earlier ones made no events, or others.';
COMMENT ON COLUMN posthorn.sources.since_xid IS 'The oldest transaction that was running then.';
COMMENT ON COLUMN posthorn.sources.since_server IS 'The server''s system identifier then: transaction ids of one server say nothing in another.';

CREATE TABLE posthorn.source_failures (
    id         uuid        NOT NULL DEFAULT posthorn.uuid_v7() PRIMARY KEY,
    failed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    source     text        NOT NULL,
    table_name text        NOT NULL,
    operation  text        NOT NULL,
    key        json        NOT NULL,
    sqlstate   text        NOT NULL,
    reason     text        NOT NULL
);
COMMENT ON TABLE posthorn.source_failures IS 'Changes that became no event; delete a row when it is dealt with.';
COMMENT ON COLUMN posthorn.source_failures.id IS 'UUID version 7.';
COMMENT ON COLUMN posthorn.source_failures.failed_at IS 'When the change was made (not committed).';
COMMENT ON COLUMN posthorn.source_failures.xid IS 'The transaction that made the change.';
COMMENT ON COLUMN posthorn.source_failures.source IS 'As posthorn.sources.name.';
COMMENT ON COLUMN posthorn.source_failures.table_name IS 'The table or partition that the statement named.';
COMMENT ON COLUMN posthorn.source_failures.operation IS 'INSERT or UPDATE.';
COMMENT ON COLUMN posthorn.source_failures.key IS 'The row''s primary key, an object; null if the table has none any more.';
COMMENT ON COLUMN posthorn.source_failures.sqlstate IS 'What went wrong, by PostgreSQL''s documentation, appendix A.';
COMMENT ON COLUMN posthorn.source_failures.reason IS 'What went wrong, without a value of the row.';

CREATE INDEX source_failures_source ON posthorn.source_failures (source, id);
COMMENT ON INDEX posthorn.source_failures_source IS '`posthorn source list` counts by it, and finds the last.';

CREATE TABLE posthorn.source_mutes (
    source   text        NOT NULL,
    xid      xid8        NOT NULL DEFAULT pg_current_xact_id(),
    muted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    muted_by text        NOT NULL,
    reason   text        NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 1000),
    changes  bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (source, xid)
);
COMMENT ON TABLE posthorn.source_mutes IS 'Transactions whose changes of a source made no events, because they said so: backfills and repairs.';
COMMENT ON COLUMN posthorn.source_mutes.source IS 'As posthorn.sources.name.';
COMMENT ON COLUMN posthorn.source_mutes.xid IS 'The transaction.';
COMMENT ON COLUMN posthorn.source_mutes.muted_at IS 'From when in the transaction.';
COMMENT ON COLUMN posthorn.source_mutes.muted_by IS 'The role that asked for it.';
COMMENT ON COLUMN posthorn.source_mutes.reason IS 'Why, in its words.';
COMMENT ON COLUMN posthorn.source_mutes.changes IS 'How many changes would have been events.';

-- The setting is a hint that anybody can write to; the row is what counts.
CREATE FUNCTION posthorn.mute_source(source text, reason text) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM posthorn.sources s WHERE s.name = $1) THEN
        RAISE EXCEPTION 'there is no source %', quote_literal($1)
            USING ERRCODE = 'undefined_object', HINT = '`posthorn source list` shows them.';
    END IF;
    INSERT INTO posthorn.source_mutes (source, reason, muted_by)
    VALUES ($1, $2, coalesce(nullif(current_setting('role'), 'none'), session_user))
        ON CONFLICT DO NOTHING;
    PERFORM set_config(format('posthorn.source_%s_muted', md5($1)), 'on', true);
END $$;
COMMENT ON FUNCTION posthorn.mute_source IS
    'The changes that this transaction makes to a source''s tables from now on make no events; posthorn.source_mutes says who, when, why and how many.';

CREATE FUNCTION posthorn.refuse_source_value(source text, what text, bytes int, most int) RETURNS text
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'posthorn source %: % of a row of % is %; an event needs 1 to % bytes', source, what,
        (SELECT s.relation FROM posthorn.sources s WHERE s.name = source),
        coalesce(bytes || ' bytes long', 'NULL'), most
        USING ERRCODE = 'check_violation',
              HINT = 'Put the row right, or run `posthorn source attach` again: --when leaves such rows out, --on-failure record lets them pass.';
END $$;
COMMENT ON FUNCTION posthorn.refuse_source_value IS 'Raises the error of a value that cannot be part of an event.';

-- The CHECKs of posthorn.events say the same, but know nothing of the source. As volatile as
-- what they call, so that PostgreSQL puts them inline and calls it for bad values only.
CREATE FUNCTION posthorn.source_text(source text, what text, value text) RETURNS text
    LANGUAGE sql VOLATILE
    RETURN CASE WHEN octet_length(value) BETWEEN 1 AND 1000 THEN value
                ELSE posthorn.refuse_source_value(source, what, octet_length(value), 1000) END;
CREATE FUNCTION posthorn.source_data(source text, value text) RETURNS json
    LANGUAGE sql VOLATILE
    RETURN CASE WHEN octet_length(value) BETWEEN 1 AND 1048576 THEN value
                ELSE posthorn.refuse_source_value(source, 'the data', octet_length(value), 1048576) END::json;
COMMENT ON FUNCTION posthorn.source_text IS 'The value if it can be the merchant, kind, id or status of an event.';
COMMENT ON FUNCTION posthorn.source_data IS 'The value if it can be the data of an event.';

-- The class of an error says little of its message: a cast to regclass or tsquery quotes the row as a
-- syntax error, and a function of the application has errors of its own. Shown are those of this
-- schema, and of the classes that name limits and constraints.
CREATE FUNCTION posthorn.record_source_failure(
    source text, relation oid, operation text, changed json, state text, message text
) RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO posthorn.source_failures (source, table_name, operation, key, sqlstate, reason)
    VALUES (source, relation::regclass, operation,
            coalesce((SELECT json_object_agg(a.attname, changed -> a.attname::text ORDER BY a.attnum)
                        FROM pg_index i
                        JOIN pg_attribute a ON a.attrelid = i.indrelid
                                       AND a.attnum = ANY ((i.indkey::int2[])[0 : i.indnkeyatts - 1])
                       WHERE i.indrelid = relation AND i.indisprimary), 'null'),
            state,
            CASE WHEN left(state, 2) IN ('23', '53', '54', '55') OR message LIKE 'posthorn source %' THEN left(message, 1000)
                 ELSE 'the message may quote the row and is left out' END);
END $$;
COMMENT ON FUNCTION posthorn.record_source_failure IS 'Writes down that a change became no event.';

-- One plan for the session: by the arrays' lengths PostgreSQL would make a new one for each
-- statement, which takes longer than the rest.
CREATE FUNCTION posthorn.append_events_of(
    source posthorn.sources, relation oid, operation text, moment numeric, merchants text[], kinds text[], ids text[],
    statuses text[], data text[], keys text[], sizes text[]
) RETURNS void LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO posthorn.events (id, source, merchant, kind, transaction_id, status, data)
    SELECT posthorn.uuid_at(moment, e.n),
           source.name,
           posthorn.source_text(source.name, 'column ' || source.merchant_column, e.merchant),
           coalesce(source.kind, posthorn.source_text(source.name, 'the kind', e.kind)),
           posthorn.source_text(source.name, 'column ' || source.id_column, e.id),
           posthorn.source_text(source.name, 'column ' || source.status_column, e.status),
           posthorn.source_data(source.name, e.data)
      FROM unnest(merchants, kinds, ids, statuses, data, sizes) WITH ORDINALITY AS e (merchant, kind, id, status, data, size, n)
     WHERE e.size IS NULL;
    -- No payment fails for the size of what is told of it.
    IF array_remove(sizes, NULL) <> '{}' THEN
        PERFORM posthorn.record_source_failure(source.name, relation, operation, e.key::json, '54000',
                    format('the data of a row of %s is %s bytes long; an event takes at most 1048576', relation::regclass, e.size))
           FROM unnest(keys, sizes) AS e (key, size)
          WHERE e.size IS NOT NULL;
    END IF;
END $$;
COMMENT ON FUNCTION posthorn.append_events_of IS 'Appends events of a source, a value of each array for each; a kind is taken only where the source has none of its own. Where a size is given, the data is too large: that is written down instead.';

-- Events are in the order of their ids, and those of a statement have the time at which it began:
-- so they come before those of the statements that its triggers made, although the triggers of
-- these fire first. Each row takes longer to change than the 244 ns that are between two ids.
CREATE FUNCTION posthorn.uuid_at(moment numeric, n bigint) RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (overlay(lpad(to_hex((moment * 4096000)::bigint + n), 15, '0') PLACING '7' FROM 13 FOR 0)
            || substr(gen_random_uuid()::text, 20))::uuid;
COMMENT ON FUNCTION posthorn.uuid_at IS 'The n-th UUID version 7 of a moment, which is given in seconds since 1970.';

-- Settings of the transaction hold the statements of a source that are under way, the innermost
-- last, five numbers each: when it began; its table; how many rows of that were changed by then;
-- how many of those before it had changed no row yet; how deep in calls it is. They are taken back
-- with a savepoint, as what the statements did is.
CREATE FUNCTION posthorn.rows_changed(relation oid) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relkind = 'p') THEN
        RETURN (SELECT sum(pg_stat_get_xact_tuples_inserted(p.relid) + pg_stat_get_xact_tuples_updated(p.relid))
                  FROM pg_partition_tree(relation) p);
    END IF;
    RETURN pg_stat_get_xact_tuples_inserted(relation) + pg_stat_get_xact_tuples_updated(relation);
END $$;
COMMENT ON FUNCTION posthorn.rows_changed IS 'How many rows of a table and its partitions this transaction has inserted and updated so far.';

CREATE FUNCTION posthorn.open_source_statement() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slot      text := format('posthorn.source_%s_open', md5(TG_ARGV[0]));
    open      numeric[] := string_to_array(current_setting(slot, true), ' ')::numeric[];
    at        int := cardinality(open);
    untouched int := 0;
    calls     text;
    depth     int;
BEGIN
    GET DIAGNOSTICS calls = PG_CONTEXT;
    depth := octet_length(calls) - octet_length(replace(calls, E'\n', ''));
    -- INSERT … ON CONFLICT and MERGE open two; these are one statement.
    IF at > 0 AND open[at] < depth THEN
        WHILE at > 0 AND open[at - 2] = posthorn.rows_changed(open[at - 3]::bigint::oid) LOOP
            untouched := untouched + 1;
            at := at - 5;
        END LOOP;
    END IF;
    PERFORM set_config(slot, concat_ws(' ', nullif(array_to_string(open, ' '), ''), extract(epoch FROM clock_timestamp()),
                                       TG_RELID, posthorn.rows_changed(TG_RELID), untouched, depth), true);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.open_source_statement IS 'Trigger: notes when a statement on a table of a source begins.';

-- A statement that a trigger made before the first row was changed (BEFORE INSERT, for example)
-- has changed its rows before: what called it begins only now. Anybody can write to the settings,
-- so a time counts only if it is of this transaction. It is of the same day too, unless it is
-- recent: the feed takes a day to be closed when what ran at its end, and had changed something,
-- has ended.
CREATE FUNCTION posthorn.close_source_statement(source text) RETURNS numeric
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slot  text := format('posthorn.source_%s_open', md5(source));
    open  numeric[] := string_to_array(nullif(current_setting(slot, true), ''), ' ')::numeric[];
    last  int := coalesce(cardinality(open), 0) - 5;
    clock numeric := extract(epoch FROM clock_timestamp());
    began numeric := open[last + 1];
    at    int := last;
BEGIN
    IF last < 0 THEN
        RETURN clock;
    END IF;
    WHILE at > last - open[last + 4] * 5 LOOP
        open[at - 4] := clock;
        open[at - 2] := posthorn.rows_changed(open[at - 3]::bigint::oid);
        at := at - 5;
    END LOOP;
    PERFORM set_config(slot, array_to_string(open[1 : last], ' '), true);
    IF (began BETWEEN extract(epoch FROM transaction_timestamp()) AND clock) IS NOT TRUE THEN
        RETURN clock;
    ELSIF began < clock - 1800 THEN
        RETURN greatest(began, clock - mod(clock, 86400));
    END IF;
    RETURN began;
END $$;
COMMENT ON FUNCTION posthorn.close_source_statement IS 'When the innermost statement of a source began, in seconds since 1970; it is over now.';

-- What the function of the source has left is text alone: nothing here can call what is not
-- PostgreSQL's or Posthorn's. It has left it in this very statement, whatever the session had
-- there before, so only who can put a trigger between the two can make an event that the rows
-- are not of: the table's owner, who can write the rows as well.
CREATE FUNCTION posthorn.append_source_rows() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    -- Otherwise a NULL would be read as the text NULL.
    SET array_nulls = on
AS $$
DECLARE
    source    posthorn.sources;
    slot      text := format('posthorn.source_%s_%s', md5(TG_ARGV[0]), pg_trigger_depth());
    parts     int[];
    merchants text[];
    kinds     text[];
    ids       text[];
    statuses  text[];
    data      text[];
    keys      text[];
    sizes     text[];
    muted     bigint;
    at        int;
    size      int;
    moment    numeric := posthorn.close_source_statement(TG_ARGV[0]);
BEGIN
    parts := string_to_array(nullif(current_setting(slot, true), ''), ' ')::int[];
    PERFORM set_config(slot, '', true);
    IF parts = '{0,0}' THEN
        RETURN NULL; -- No status has changed.
    END IF;
    SELECT * INTO source FROM posthorn.sources s
     WHERE s.name = TG_ARGV[0] AND TG_RELID = ANY (s.members);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'posthorn source %: % is not a table of it', TG_ARGV[0], TG_RELID::regclass
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Run `posthorn source attach`, which makes the triggers.';
    END IF;
    IF parts IS NULL THEN
        RAISE EXCEPTION 'posthorn source %: the trigger of % that reads the rows is missing or switched off', source.name,
            TG_RELID::regclass
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run `posthorn source attach` again, or `posthorn source detach`.';
    END IF;
    IF current_setting(format('posthorn.source_%s_muted', md5(source.name)), true) <> '' THEN
        SELECT m.changes INTO muted FROM posthorn.source_mutes m
         WHERE m.source = TG_ARGV[0] AND m.xid = pg_current_xact_id();
    END IF;
    FOR part IN 0 .. parts[1] - 1 LOOP
        merchants := posthorn.take_source_part(slot, 'merchants', part);
        kinds := posthorn.take_source_part(slot, 'kinds', part);
        ids := posthorn.take_source_part(slot, 'ids', part);
        statuses := posthorn.take_source_part(slot, 'statuses', part);
        data := posthorn.take_source_part(slot, 'data', part);
        keys := posthorn.take_source_part(slot, 'keys', part);
        sizes := posthorn.take_source_part(slot, 'sizes', part);
        IF muted IS NOT NULL THEN
            muted := muted + cardinality(merchants);
            IF source.compare_role IS NOT NULL THEN
                PERFORM posthorn.leave_untold(source.name, merchants, ids, statuses);
            END IF;
            CONTINUE;
        ELSIF source.on_failure = 'block' THEN
            PERFORM posthorn.append_events_of(source, TG_RELID, TG_OP, moment, merchants, kinds, ids, statuses, data, keys, sizes);
            moment := moment + cardinality(merchants) / 4096000.0;
            CONTINUE;
        END IF;
        -- All at once; where that fails, in pieces, smaller ones until the bad row is alone.
        at := 1;
        size := cardinality(merchants);
        WHILE at <= cardinality(merchants) LOOP
            BEGIN
                PERFORM posthorn.append_events_of(source, TG_RELID, TG_OP, moment, merchants[at : at + size - 1],
                    kinds[at : at + size - 1], ids[at : at + size - 1], statuses[at : at + size - 1],
                    data[at : at + size - 1], keys[at : at + size - 1], sizes[at : at + size - 1]);
                moment := moment + size / 4096000.0;
                at := at + size;
                size := size * 2;
            EXCEPTION WHEN OTHERS THEN
                IF SQLSTATE LIKE '40%' THEN
                    RAISE; -- A deadlock or a conflict ends the whole transaction; the caller tries again.
                ELSIF size > 1 THEN
                    size := size / 2;
                ELSE
                    PERFORM posthorn.record_source_failure(source.name, TG_RELID, TG_OP, keys[at]::json, SQLSTATE, SQLERRM);
                    at := at + 1;
                END IF;
            END;
        END LOOP;
    END LOOP;
    IF muted IS NOT NULL THEN
        UPDATE posthorn.source_mutes m SET changes = muted + coalesce(parts[2], 0)
         WHERE m.source = TG_ARGV[0] AND m.xid = pg_current_xact_id();
        RETURN NULL;
    END IF;
    -- The rows that its function could not read.
    FOR part IN 0 .. parts[2] - 1 LOOP
        PERFORM posthorn.record_source_failure(source.name, TG_RELID, TG_OP, f.key::json, f.state, f.message)
           FROM unnest(posthorn.take_source_part(slot, 'failed_keys', part),
                       posthorn.take_source_part(slot, 'failed_states', part),
                       posthorn.take_source_part(slot, 'failed_messages', part)) AS f (key, state, message);
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.append_source_rows IS
    'Trigger: makes events of what the source''s own function, the trigger before it, has read of the changed rows.';

-- What is compared has to know which statuses nobody was to be told; of a row that changed twice
-- in a statement, or has a namesake, the last one.
CREATE FUNCTION posthorn.leave_untold(source text, merchants text[], ids text[], statuses text[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO posthorn.source_untold AS u (source, merchant, transaction_id, status)
    SELECT DISTINCT ON (e.merchant, e.id) leave_untold.source, e.merchant, e.id, e.status
      FROM unnest(merchants, ids, statuses) WITH ORDINALITY AS e (merchant, id, status, n)
     WHERE octet_length(e.merchant) BETWEEN 1 AND 1000 AND octet_length(e.id) BETWEEN 1 AND 1000
       AND octet_length(e.status) BETWEEN 1 AND 1000
     ORDER BY e.merchant, e.id, e.n DESC
        ON CONFLICT ON CONSTRAINT source_untold_pkey DO UPDATE
           SET status = excluded.status, left_at = excluded.left_at;
END $$;
COMMENT ON FUNCTION posthorn.leave_untold IS 'Writes down statuses of rows that a muted transaction has changed.';

CREATE FUNCTION posthorn.take_source_part(slot text, what text, part int) RETURNS text[]
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name  text := format('%s_%s_%s', slot, part, what);
    taken text[] := nullif(current_setting(name, true), '');
BEGIN
    PERFORM set_config(name, '', true);
    RETURN taken;
END $$;
COMMENT ON FUNCTION posthorn.take_source_part IS 'What a source''s function has left of one column for some of the rows; it is gone then.';

-- Comparisons find rows whose status nobody was told, because no trigger saw the change
-- (docs/decisions/0062-tables-are-compared-by-a-stranger.md).

CREATE TABLE posthorn.source_comparisons (
    source      text        NOT NULL PRIMARY KEY REFERENCES posthorn.sources (name) ON DELETE CASCADE,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rows        bigint      NOT NULL DEFAULT 0,
    unjudged    bigint      NOT NULL DEFAULT 0,
    muted       bigint      NOT NULL DEFAULT 0,
    differing   bigint      NOT NULL DEFAULT 0,
    refused     text
);
COMMENT ON TABLE posthorn.source_comparisons IS 'The last scheduled comparison of each source''s table with its events.';
COMMENT ON COLUMN posthorn.source_comparisons.source IS 'As posthorn.sources.name.';
COMMENT ON COLUMN posthorn.source_comparisons.started_at IS 'When it began.';
COMMENT ON COLUMN posthorn.source_comparisons.finished_at IS 'When it was through.';
COMMENT ON COLUMN posthorn.source_comparisons.rows IS 'Rows that were changed since the events that are kept, and meet the source''s condition.';
COMMENT ON COLUMN posthorn.source_comparisons.unjudged IS 'Of these, rows without an event that may be older than the source, or than the events that are kept.';
COMMENT ON COLUMN posthorn.source_comparisons.muted IS 'Of these, rows whose status is one that was to be left untold.';
COMMENT ON COLUMN posthorn.source_comparisons.differing IS 'Of these, rows whose status is not the one that was told last.';
COMMENT ON COLUMN posthorn.source_comparisons.refused IS 'Why the table could not be compared; NULL: it was.';

CREATE TABLE posthorn.source_differences (
    source         text        NOT NULL REFERENCES posthorn.source_comparisons (source) ON DELETE CASCADE,
    merchant       text        NOT NULL,
    transaction_id text        NOT NULL,
    kind           text        NOT NULL,
    status         text        NOT NULL,
    told           text,
    found_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, merchant, transaction_id)
);
COMMENT ON TABLE posthorn.source_differences IS 'Rows whose status is not the one that was told last, by the last scheduled comparison; at most 1,000 of a source.';
COMMENT ON COLUMN posthorn.source_differences.source IS 'As posthorn.sources.name.';
COMMENT ON COLUMN posthorn.source_differences.merchant IS 'Of the row.';
COMMENT ON COLUMN posthorn.source_differences.transaction_id IS 'Of the row.';
COMMENT ON COLUMN posthorn.source_differences.kind IS 'Of the event that would tell of it.';
COMMENT ON COLUMN posthorn.source_differences.status IS 'What the table has.';
COMMENT ON COLUMN posthorn.source_differences.told IS 'The status of the last event; NULL: there is none.';
COMMENT ON COLUMN posthorn.source_differences.found_at IS 'When it was found first.';

CREATE TABLE posthorn.source_untold (
    source         text        NOT NULL REFERENCES posthorn.sources (name) ON DELETE CASCADE,
    merchant       text        NOT NULL,
    transaction_id text        NOT NULL,
    status         text        NOT NULL,
    left_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, merchant, transaction_id)
);
COMMENT ON TABLE posthorn.source_untold IS 'Statuses that are not to be told: those of muted transactions, and those that somebody has written here. They are no differences until the next event of their transaction.';
COMMENT ON COLUMN posthorn.source_untold.source IS 'As posthorn.sources.name.';
COMMENT ON COLUMN posthorn.source_untold.merchant IS 'Of the row.';
COMMENT ON COLUMN posthorn.source_untold.transaction_id IS 'Of the row.';
COMMENT ON COLUMN posthorn.source_untold.status IS 'What the table has, and nobody is to be told.';
COMMENT ON COLUMN posthorn.source_untold.left_at IS 'When it was left so.';
