-- Tables of the provider whose changes of status become events by themselves. What reads
-- them is a trigger function for each source, which `posthorn source attach` writes; the
-- functions here are what those have in common.

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

-- Asked at each statement, before the columns are used: PostgreSQL's own message would
-- name neither the source nor the remedy.
CREATE FUNCTION posthorn.missing_columns(relation oid, columns text[]) RETURNS text
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (SELECT string_agg(quote_ident(wanted.name), ', ')
              FROM unnest(columns) AS wanted (name)
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                                WHERE a.attrelid = relation AND a.attname = wanted.name
                                  AND a.attnum > 0 AND NOT a.attisdropped));
END $$;
COMMENT ON FUNCTION posthorn.missing_columns IS 'Which of the columns a table does not have, or NULL.';

CREATE FUNCTION posthorn.refuse_source_value(source text, what text, bytes int, most int) RETURNS text
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION 'posthorn source %: % of a row of % is %; an event needs 1 to % bytes', source, what,
        (SELECT s.relation FROM posthorn.sources s WHERE s.name = source),
        coalesce(bytes || ' bytes long', 'NULL'), most
        USING ERRCODE = 'check_violation',
              HINT = 'Put the row right, or run `posthorn source attach` again: --when leaves such rows out, --on-failure record lets them pass.';
END $$;
COMMENT ON FUNCTION posthorn.refuse_source_value IS 'Raises the error of a value that cannot be part of an event.';

-- The CHECKs of posthorn.events say the same, but their error would quote the row. As
-- volatile as what they call, so that PostgreSQL puts them inline and calls it for bad
-- values only.
CREATE FUNCTION posthorn.source_text(source text, what text, value text) RETURNS text
    LANGUAGE sql VOLATILE
    RETURN CASE WHEN octet_length(value) BETWEEN 1 AND 1000 THEN value
                ELSE posthorn.refuse_source_value(source, what, octet_length(value), 1000) END;
CREATE FUNCTION posthorn.source_data(source text, value json) RETURNS json
    LANGUAGE sql VOLATILE
    RETURN CASE WHEN octet_length(value::text) BETWEEN 1 AND 1048576 THEN value
                ELSE posthorn.refuse_source_value(source, 'the data', octet_length(value::text), 1048576)::json END;
COMMENT ON FUNCTION posthorn.source_text IS 'The value if it can be the merchant, kind, id or status of an event.';
COMMENT ON FUNCTION posthorn.source_data IS 'The value if it can be the data of an event.';

-- Which messages name things of the schema only is known by the error's class; those of
-- the others may quote a value of the row.
CREATE FUNCTION posthorn.record_source_failure(
    source text, relation oid, operation text, changed json, state text, message text
) RETURNS void LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO posthorn.source_failures (source, table_name, operation, key, sqlstate, reason)
    VALUES (source, relation::regclass, operation,
            coalesce((SELECT json_object_agg(a.attname, changed -> a.attname::text ORDER BY a.attnum)
                        FROM pg_catalog.pg_index i
                        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                       WHERE i.indrelid = relation AND i.indisprimary), 'null'),
            state,
            CASE WHEN left(state, 2) IN ('23', '42', '53', '54', '55') THEN message
                 ELSE 'the message may quote the row and is left out' END);
END $$;
COMMENT ON FUNCTION posthorn.record_source_failure IS 'Writes down that a change became no event.';

REVOKE ALL ON FUNCTION posthorn.refuse_source_value, posthorn.source_text, posthorn.source_data,
    posthorn.record_source_failure FROM PUBLIC;
