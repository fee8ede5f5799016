-- Names and numbers that every other migration stands on: ids, shards, the cluster.
-- The schema itself is made by `posthorn migrate`, which keeps its own table in it.

COMMENT ON SCHEMA posthorn IS 'Outbound webhooks: events in, deliveries and attempts out.';

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

CREATE FUNCTION posthorn.tables() RETURNS text
    LANGUAGE sql STABLE
    RETURN (SELECT oid::text FROM pg_database WHERE datname = current_database())
           || '.' || to_regclass('posthorn.shards')::oid::text;
COMMENT ON FUNCTION posthorn.tables IS
    'Which tables of this server these are: the database, and the table of the shards in it. A part of posthorn.cluster() that costs so little that each page of the log brings it.';

CREATE FUNCTION posthorn.cluster() RETURNS text
    LANGUAGE sql STABLE
    RETURN (SELECT system_identifier::text FROM pg_control_system())
           || '.' || posthorn.tables()
           || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
           || '/' || date_part('epoch', pg_postmaster_start_time())::text;
COMMENT ON FUNCTION posthorn.cluster IS
    'Which tables these are (the server''s system identifier, the database, the table of the shards in it), timeline and start of the server. They differ wherever a database or the schema was made anew, restored, copied or upgraded. A number that a transaction had may be given again after a crash, a failover or a restore: transaction ids of one of these say nothing sure in another.';
