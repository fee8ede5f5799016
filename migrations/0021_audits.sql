-- The audits that workers made on their schedule.

CREATE TABLE posthorn.audits (
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    since       timestamptz NOT NULL,
    events      bigint      NOT NULL,
    expected    bigint      NOT NULL,
    missing     bigint      NOT NULL,
    repaired    bigint      NOT NULL,
    settled_to  timestamptz NOT NULL,
    snapshot    pg_snapshot NOT NULL,
    cluster     text        NOT NULL,
    PRIMARY KEY (started_at)
);
COMMENT ON TABLE posthorn.audits IS 'Scheduled comparisons of events with deliveries.';
COMMENT ON COLUMN posthorn.audits.started_at IS 'When it began; events up to then were looked at.';
COMMENT ON COLUMN posthorn.audits.finished_at IS 'When it was through.';
COMMENT ON COLUMN posthorn.audits.since IS 'The earliest events that were looked at.';
COMMENT ON COLUMN posthorn.audits.events IS 'How many events that was.';
COMMENT ON COLUMN posthorn.audits.expected IS 'How many deliveries there should be.';
COMMENT ON COLUMN posthorn.audits.missing IS 'Of these, those without a row.';
COMMENT ON COLUMN posthorn.audits.repaired IS 'Of the missing, those that were given one.';
COMMENT ON COLUMN posthorn.audits.settled_to IS 'Events before that had all been dealt with by workers; the next audit begins there, or earlier.';
COMMENT ON COLUMN posthorn.audits.snapshot IS 'When it began: what was committed later, the next audit looks at, however old it is.';
COMMENT ON COLUMN posthorn.audits.cluster IS 'Where the snapshot means something.';
