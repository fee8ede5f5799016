-- The log that is the queue, and what everything else stands on: ids that tell their time, the
-- number of shards, and which tables of which server these are. The schema itself is made by
-- `posthorn migrate`, which keeps its own table in it.

COMMENT ON SCHEMA posthorn IS 'Outbound webhooks: events in, deliveries and attempts out.';

-- Ids.

-- One expression with the clock in it once, so that PostgreSQL inlines it into the
-- column default. 4096000 = 1000 ms x 4096: milliseconds and a 12-bit fraction
-- (RFC 9562, method 3), so ids of one session sort by insertion to the microsecond.
CREATE FUNCTION posthorn.uuid_v7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (overlay(lpad(to_hex((date_part('epoch', clock_timestamp()) * 4096000)::bigint), 15, '0')
                    PLACING '7' FROM 13 FOR 0)
            || substr(gen_random_uuid()::text, 20))::uuid;
COMMENT ON FUNCTION posthorn.uuid_v7 IS 'A UUID version 7 of this moment.';

CREATE FUNCTION posthorn.uuid_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN (rpad(lpad(to_hex(floor(date_part('epoch', moment) * 1000)::bigint), 12, '0'), 32, '0'))::uuid;
COMMENT ON FUNCTION posthorn.uuid_floor IS 'The least UUID version 7 of a moment: the bound of a partition.';

CREATE FUNCTION posthorn.uuid_time(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);
COMMENT ON FUNCTION posthorn.uuid_time IS 'The time in a UUID version 7, to the millisecond.';

CREATE FUNCTION posthorn.event_day(event_id uuid) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '1970-01-01'::date
         + (('x' || left(replace(event_id::text, '-', ''), 12))::bit(48)::bigint / 86400000)::int;
COMMENT ON FUNCTION posthorn.event_day IS 'The day of an event''s id, UTC: whose partition it is in.';

-- Shards and servers.

-- The number of shards is read once, here, and is part of the function from then on:
-- changing it later would move merchants between shards whose checkpoints differ.
DO $$
DECLARE
    shards int := coalesce(nullif(current_setting('posthorn.shards', true), ''), '64')::int;
BEGIN
    IF shards NOT BETWEEN 1 AND 1024 THEN
        RAISE EXCEPTION 'posthorn.shards is %; give a whole number from 1 to 1024', shards;
    END IF;
    EXECUTE format(
        'CREATE FUNCTION posthorn.shard_of(merchant text) RETURNS smallint
             LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
             RETURN ((hashtextextended(merchant, 0) & 9223372036854775807) %% %s)::smallint', shards);
    EXECUTE format(
        'CREATE FUNCTION posthorn.shard_count() RETURNS int
             LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %s', shards);
END $$;
COMMENT ON FUNCTION posthorn.shard_of IS 'The shard of a merchant, 0 .. posthorn.shard_count() - 1.';
COMMENT ON FUNCTION posthorn.shard_count IS 'How many shards there are; fixed at the first migration.';

-- In PL/pgSQL, whose plans a session keeps: as an SQL function it would be planned for each page.
CREATE FUNCTION posthorn.tables() RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT oid::text FROM pg_database WHERE datname = current_database())
           || '.' || to_regclass('posthorn.shards')::oid::text;
END $$;
COMMENT ON FUNCTION posthorn.tables IS
    'Which tables of this server these are: the database, and the table of the shards in it. A part of posthorn.cluster() that costs so little that each page of the log brings it.';

CREATE FUNCTION posthorn.cluster() RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT system_identifier::text FROM pg_control_system())
           || '.' || posthorn.tables()
           || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
           || '/' || date_part('epoch', pg_postmaster_start_time())::text;
END $$;
COMMENT ON FUNCTION posthorn.cluster IS
    'Which tables these are (the server''s system identifier, the database, the table of the shards in it), timeline and start of the server. They differ wherever a database or the schema was made anew, restored, copied or upgraded. A number that a transaction had may be given again after a crash, a failover or a restore: transaction ids of one of these say nothing sure in another.';

-- Events.

-- A row is inserted in the transaction that changes the status. Nothing in it changes later, but
-- that its payload may be purged, and that settle_foreign_events() replaces another cluster's xid.
CREATE TABLE posthorn.events (
    id             uuid        NOT NULL,
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    merchant       text        NOT NULL,
    kind           text        NOT NULL,
    transaction_id text        NOT NULL,
    status         text        NOT NULL,
    -- json, not jsonb: the order of keys and the text of numbers are kept.
    data           json        DEFAULT '{}',
    source         text,
    purged_at      timestamptz,
    PRIMARY KEY (id),
    -- Bounded, so that every index that holds them can.
    CONSTRAINT events_merchant_has_1_to_1000_bytes       CHECK (octet_length(merchant) BETWEEN 1 AND 1000),
    CONSTRAINT events_kind_has_1_to_1000_bytes           CHECK (octet_length(kind) BETWEEN 1 AND 1000),
    CONSTRAINT events_transaction_id_has_1_to_1000_bytes CHECK (octet_length(transaction_id) BETWEEN 1 AND 1000),
    CONSTRAINT events_status_has_1_to_1000_bytes         CHECK (octet_length(status) BETWEEN 1 AND 1000),
    CONSTRAINT events_data_is_at_most_1_mib              CHECK (octet_length(data::text) <= 1048576),
    CONSTRAINT events_data_is_there_until_it_is_purged   CHECK ((data IS NULL) = (purged_at IS NOT NULL))
) PARTITION BY RANGE (id);

-- The bodies of uuid_v7 and shard_of, and not calls of them: what a column computes runs with
-- the rights of whoever inserts, and this way nobody needs a right to these functions for it,
-- and no search_path moves a name in it. A call would also be parsed for every INSERT.
DO $$
DECLARE
    id    text := substr(pg_get_function_sqlbody('posthorn.uuid_v7'::regproc), length('RETURN '));
    shard text := substr(pg_get_function_sqlbody('posthorn.shard_of'::regproc), length('RETURN '));
BEGIN
    EXECUTE format(
        'ALTER TABLE posthorn.events
             ALTER COLUMN id SET DEFAULT %s,
             ADD COLUMN shard smallint NOT NULL GENERATED ALWAYS AS (%s) STORED', id, shard);
END $$;

COMMENT ON TABLE posthorn.events IS 'One committed status change of one transaction; append-only, a partition a day.';
COMMENT ON COLUMN posthorn.events.id IS 'UUID version 7; its time chooses the partition.';
COMMENT ON COLUMN posthorn.events.xid IS 'The inserting transaction: the feed reads by it.';
COMMENT ON COLUMN posthorn.events.created_at IS 'When the row was inserted (not committed).';
COMMENT ON COLUMN posthorn.events.shard IS 'posthorn.shard_of(merchant): which worker reads it.';
COMMENT ON COLUMN posthorn.events.merchant IS 'The tenant that the transaction belongs to.';
COMMENT ON COLUMN posthorn.events.kind IS 'What kind of change, such as payment.approved.';
COMMENT ON COLUMN posthorn.events.transaction_id IS 'The provider''s own id; travels unchanged.';
COMMENT ON COLUMN posthorn.events.status IS 'The transaction''s new status, in the provider''s spelling.';
COMMENT ON COLUMN posthorn.events.data IS 'What the provider publishes about it; at most 1 MiB of JSON.';
COMMENT ON COLUMN posthorn.events.source IS 'The source whose trigger made it; NULL: it was published.';
COMMENT ON COLUMN posthorn.events.purged_at IS 'When the payload was purged; data is NULL since then.';

CREATE INDEX events_window ON posthorn.events (xid, id);
COMMENT ON INDEX posthorn.events_window IS 'The feed pages through a snapshot window by it.';
-- In the merchant's order of events: the look-ups of a transaction's earlier events, and
-- whether it has any, end at the first row.
CREATE INDEX events_transaction ON posthorn.events (transaction_id, merchant, id);
COMMENT ON INDEX posthorn.events_transaction IS 'Support looks a transaction up by it, and the feed its previous status.';

CREATE TABLE posthorn.events_default PARTITION OF posthorn.events DEFAULT;
COMMENT ON TABLE posthorn.events_default IS 'Catches what no daily partition takes, so that an insert never fails.';

-- A row that the CHECKs would refuse is refused here first: their error quotes the whole row,
-- payload included, into the server's log. The first condition is all that a good row pays; as
-- WHEN of the trigger it would cost three times as much, because PostgreSQL reads that anew for
-- each statement.
CREATE FUNCTION posthorn.refuse_event() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    field text;
    bytes int;
    most  int := 1000;
BEGIN
    IF octet_length(NEW.merchant) BETWEEN 1 AND 1000
       AND octet_length(NEW.kind) BETWEEN 1 AND 1000
       AND octet_length(NEW.transaction_id) BETWEEN 1 AND 1000
       AND octet_length(NEW.status) BETWEEN 1 AND 1000
       AND octet_length(NEW.data::text) <= 1048576 THEN
        RETURN NEW;
    END IF;
    SELECT f.name, octet_length(f.value) INTO field, bytes
      FROM (VALUES (1, 'merchant', NEW.merchant), (2, 'kind', NEW.kind),
                   (3, 'transaction_id', NEW.transaction_id), (4, 'status', NEW.status)) AS f (place, name, value)
     WHERE (octet_length(f.value) BETWEEN 1 AND 1000) IS NOT TRUE
     ORDER BY f.place LIMIT 1;
    IF NOT FOUND THEN
        field := 'data';
        bytes := octet_length(NEW.data::text);
        most := 1048576;
    END IF;
    RAISE EXCEPTION 'the % of an event is %; it needs 1 to % bytes', field,
            coalesce(bytes || ' bytes long', 'NULL'), most
        USING ERRCODE = CASE WHEN bytes IS NULL THEN 'not_null_violation' ELSE 'check_violation' END,
              SCHEMA = 'posthorn', TABLE = 'events', COLUMN = field;
END $$;
COMMENT ON FUNCTION posthorn.refuse_event IS 'Trigger: tells what of an event is too long or missing, without a value of it.';
CREATE TRIGGER refuse_event BEFORE INSERT ON posthorn.events
    FOR EACH ROW EXECUTE FUNCTION posthorn.refuse_event();
