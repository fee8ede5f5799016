-- Tables of the provider whose changes of status become events by themselves. What reads
-- them is a trigger function for each source, which `posthorn source attach` writes: it runs
-- with the rights of whoever changes the table, because it evaluates types, casts and functions
-- that the table's owner may define. It leaves plain text in settings of the transaction, and
-- the trigger right behind it, append_source_rows, makes events of that with the owner's rights
-- (docs/decisions/0036-a-source-reads-with-the-rights-of-the-writer.md).

CREATE TABLE posthorn.sources (
    name            text        NOT NULL PRIMARY KEY,
    relation        regclass    NOT NULL,
    merchant_column text        NOT NULL,
    id_column       text        NOT NULL,
    status_column   text        NOT NULL,
    kind            text,
    kind_sql        text,
    data_columns    text[],
    data_sql        text,
    condition       text,
    on_insert       boolean     NOT NULL,
    on_update       boolean     NOT NULL,
    on_failure      text        NOT NULL CHECK (on_failure IN ('block', 'record')),
    columns_read    text[]      NOT NULL,
    members         regclass[]  NOT NULL,
    attached_at     timestamptz NOT NULL DEFAULT now(),
    -- It is part of the names of a function and of triggers, which have at most 63.
    CONSTRAINT sources_name_has_1_to_40_bytes  CHECK (octet_length(name) BETWEEN 1 AND 40),
    CONSTRAINT sources_kind_has_one_origin     CHECK ((kind IS NULL) <> (kind_sql IS NULL)),
    CONSTRAINT sources_data_has_one_origin     CHECK (data_columns IS NULL OR data_sql IS NULL),
    CONSTRAINT sources_listen_to_something     CHECK (on_insert OR on_update)
);
COMMENT ON TABLE posthorn.sources IS 'Tables whose changes of status become events; written by `posthorn source`.';
COMMENT ON COLUMN posthorn.sources.name IS 'Names the trigger function, posthorn.source_NAME.';
COMMENT ON COLUMN posthorn.sources.relation IS 'The table, or the root of the partitions.';
COMMENT ON COLUMN posthorn.sources.merchant_column IS 'Where an event''s merchant comes from.';
COMMENT ON COLUMN posthorn.sources.id_column IS 'Where its transaction_id comes from.';
COMMENT ON COLUMN posthorn.sources.status_column IS 'Where its status comes from; a change of it makes the event.';
COMMENT ON COLUMN posthorn.sources.kind IS 'The kind of every event, or NULL: kind_sql gives it.';
COMMENT ON COLUMN posthorn.sources.kind_sql IS 'An SQL expression over the rows new and old.';
COMMENT ON COLUMN posthorn.sources.data_columns IS 'Columns that travel as data, in this order; NULL, and data_sql too: all.';
COMMENT ON COLUMN posthorn.sources.data_sql IS 'An SQL expression over the rows new and old that gives json or jsonb.';
COMMENT ON COLUMN posthorn.sources.condition IS 'An SQL condition over the rows new and old; NULL: every change counts.';
COMMENT ON COLUMN posthorn.sources.on_insert IS 'Whether a new row with a status makes an event.';
COMMENT ON COLUMN posthorn.sources.on_update IS 'Whether a changed status makes an event.';
COMMENT ON COLUMN posthorn.sources.on_failure IS 'block: the change fails; record: it goes on, and source_failures tells of it.';
COMMENT ON COLUMN posthorn.sources.columns_read IS 'All columns that the source names, the primary key''s included.';
COMMENT ON COLUMN posthorn.sources.members IS 'The table and its partitions that have the triggers.';
COMMENT ON COLUMN posthorn.sources.attached_at IS 'When it was attached last.';

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

-- Which messages name things of the schema only is known by the error's class; those of
-- the others may quote a value of the row.
CREATE FUNCTION posthorn.record_source_failure(
    source text, relation oid, operation text, changed json, state text, message text
) RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO posthorn.source_failures (source, table_name, operation, key, sqlstate, reason)
    VALUES (source, relation::regclass, operation,
            coalesce((SELECT json_object_agg(a.attname, changed -> a.attname::text ORDER BY a.attnum)
                        FROM pg_index i
                        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                       WHERE i.indrelid = relation AND i.indisprimary), 'null'),
            state,
            CASE WHEN left(state, 2) IN ('23', '42', '53', '54', '55') THEN message
                 ELSE 'the message may quote the row and is left out' END);
END $$;
COMMENT ON FUNCTION posthorn.record_source_failure IS 'Writes down that a change became no event.';

-- One plan for the session: by the arrays' lengths PostgreSQL would make a new one for each
-- statement, which takes longer than the rest.
CREATE FUNCTION posthorn.append_events_of(
    source posthorn.sources, merchants text[], kinds text[], ids text[], statuses text[], data text[]
) RETURNS void LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
    SELECT posthorn.source_text(source.name, 'column ' || source.merchant_column, e.merchant),
           coalesce(source.kind, posthorn.source_text(source.name, 'the kind', e.kind)),
           posthorn.source_text(source.name, 'column ' || source.id_column, e.id),
           posthorn.source_text(source.name, 'column ' || source.status_column, e.status),
           posthorn.source_data(source.name, e.data)
      FROM unnest(merchants, kinds, ids, statuses, data) AS e (merchant, kind, id, status, data);
END $$;
COMMENT ON FUNCTION posthorn.append_events_of IS 'Appends events of a source, a value of each array for each; a kind is taken only where the source has none of its own.';

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
    at        int;
    size      int;
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
    FOR part IN 0 .. parts[1] - 1 LOOP
        merchants := posthorn.take_source_part(slot, 'merchants', part);
        kinds := posthorn.take_source_part(slot, 'kinds', part);
        ids := posthorn.take_source_part(slot, 'ids', part);
        statuses := posthorn.take_source_part(slot, 'statuses', part);
        data := posthorn.take_source_part(slot, 'data', part);
        IF source.on_failure = 'block' THEN
            PERFORM posthorn.append_events_of(source, merchants, kinds, ids, statuses, data);
            CONTINUE;
        END IF;
        -- All at once; where that fails, in pieces, smaller ones until the bad row is alone.
        keys := posthorn.take_source_part(slot, 'keys', part);
        at := 1;
        size := cardinality(merchants);
        WHILE at <= cardinality(merchants) LOOP
            BEGIN
                PERFORM posthorn.append_events_of(source, merchants[at : at + size - 1], kinds[at : at + size - 1],
                    ids[at : at + size - 1], statuses[at : at + size - 1], data[at : at + size - 1]);
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
