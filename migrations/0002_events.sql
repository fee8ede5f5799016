-- The log that is the queue. A row is inserted in the transaction that changes the
-- status, and never updated.

CREATE TABLE posthorn.events (
    id             uuid        NOT NULL DEFAULT posthorn.uuid_v7(),
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    shard          smallint    NOT NULL GENERATED ALWAYS AS (posthorn.shard_of(merchant)) STORED,
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
