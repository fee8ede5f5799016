-- The log that is the queue. A row is inserted in the transaction that changes the
-- status, and never updated.

CREATE TABLE posthorn.events (
    id             uuid        NOT NULL,
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    merchant       text        NOT NULL,
    kind           text        NOT NULL,
    transaction_id text        NOT NULL,
    status         text        NOT NULL,
    -- json, not jsonb: the order of keys and the text of numbers are kept.
    data           json        NOT NULL DEFAULT '{}',
    PRIMARY KEY (id),
    -- Bounded, so that every index that holds them can.
    CONSTRAINT events_merchant_has_1_to_1000_bytes       CHECK (octet_length(merchant) BETWEEN 1 AND 1000),
    CONSTRAINT events_kind_has_1_to_1000_bytes           CHECK (octet_length(kind) BETWEEN 1 AND 1000),
    CONSTRAINT events_transaction_id_has_1_to_1000_bytes CHECK (octet_length(transaction_id) BETWEEN 1 AND 1000),
    CONSTRAINT events_status_has_1_to_1000_bytes         CHECK (octet_length(status) BETWEEN 1 AND 1000),
    CONSTRAINT events_data_is_at_most_1_mib   CHECK (octet_length(data::text) <= 1048576)
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

CREATE INDEX events_window ON posthorn.events (xid, id);
COMMENT ON INDEX posthorn.events_window IS 'The feed pages through a snapshot window by it.';
CREATE INDEX events_transaction ON posthorn.events (transaction_id);
COMMENT ON INDEX posthorn.events_transaction IS 'Support looks a transaction up by it.';

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
