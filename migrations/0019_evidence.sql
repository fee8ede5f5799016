-- What a dispute asks for: what was sent, to whom, under which settings; and rows that say
-- so and that nobody changes.

ALTER TABLE posthorn.attempts
    -- The rows that are here count as written now; those to come, when they are.
    ADD COLUMN recorded_at    timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN revision       bigint,
    ADD COLUMN tls            smallint,
    ADD COLUMN peer           inet,
    ADD COLUMN proxy          inet,
    ADD COLUMN head_digest    bytea,
    ADD COLUMN payload_digest bytea,
    ADD COLUMN answer_digest  bytea;
ALTER TABLE posthorn.attempts ALTER COLUMN recorded_at SET DEFAULT clock_timestamp();
-- NOT VALID: the columns are new, and a scan would hold the workers up.
ALTER TABLE posthorn.attempts
    ADD CONSTRAINT attempts_tls_is_1_2_or_1_3
        CHECK (tls IN (12, 13)) NOT VALID,
    ADD CONSTRAINT attempts_peer_and_digests_come_together
        CHECK (num_nulls(peer, head_digest, payload_digest) IN (0, 3)) NOT VALID,
    ADD CONSTRAINT attempts_tls_and_proxy_have_a_peer
        CHECK (peer IS NOT NULL OR num_nonnulls(tls, proxy) = 0) NOT VALID,
    ADD CONSTRAINT attempts_digests_are_sha256
        CHECK (octet_length(head_digest) = 32 AND octet_length(payload_digest) = 32 AND octet_length(answer_digest) = 32) NOT VALID,
    ADD CONSTRAINT attempts_answer_is_text_or_digest
        CHECK (body IS NULL OR answer_digest IS NULL) NOT VALID;
COMMENT ON COLUMN posthorn.attempts.recorded_at IS 'When the row was written; the day by which it is sealed.';
COMMENT ON COLUMN posthorn.attempts.revision IS 'The configuration that held: posthorn.config_at(subscription, revision) shows it.';
COMMENT ON COLUMN posthorn.attempts.tls IS '12 for TLS 1.2, 13 for TLS 1.3; NULL: http, or no connection.';
COMMENT ON COLUMN posthorn.attempts.peer IS 'The receiver''s address that was connected to; NULL: there was no connection, and nothing was sent.';
COMMENT ON COLUMN posthorn.attempts.proxy IS 'The address of the proxy through which, if there was one.';
COMMENT ON COLUMN posthorn.attempts.head_digest IS 'SHA-256 of method, URL and headers but credentials, in the form of docs/AUDIT.md.';
COMMENT ON COLUMN posthorn.attempts.payload_digest IS 'SHA-256 of the request''s body, byte for byte.';
COMMENT ON COLUMN posthorn.attempts.answer_digest IS 'SHA-256 of body, since that was purged.';

-- In the order of writing as good as sorted, so a few bytes find a day's rows.
CREATE INDEX attempts_recorded ON posthorn.attempts USING brin (recorded_at);
COMMENT ON INDEX posthorn.attempts_recorded IS 'Seals read a day''s rows by it.';
CREATE INDEX deliveries_finished ON posthorn.deliveries USING brin (finished_at);
COMMENT ON INDEX posthorn.deliveries_finished IS 'Seals read a day''s rows by it.';

-- Append-only for every role, the owner and superusers too.

CREATE FUNCTION posthorn.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'posthorn.% is append-only; its rows are evidence', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION posthorn.refuse_change IS 'Trigger: keeps the rows of the ledger and its like as they were written.';

-- The one change there is: what an answer said goes once its event's payload has gone, and
-- leaves its digest.
CREATE FUNCTION posthorn.refuse_change_but_purge() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept posthorn.attempts := NEW;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- All but the two columns that can be purged is as it was.
        kept.body := OLD.body;
        kept.reason := OLD.reason;
        IF kept IS NOT DISTINCT FROM OLD
           AND (NEW.body IS NULL OR NEW.body IS NOT DISTINCT FROM OLD.body)
           AND (NEW.reason IS NULL OR NEW.reason IS NOT DISTINCT FROM OLD.reason)
           AND EXISTS (SELECT FROM posthorn.events e WHERE e.id = OLD.event_id AND e.purged_at IS NOT NULL) THEN
            IF NEW.body IS NULL AND OLD.body IS NOT NULL THEN
                NEW.answer_digest := sha256(convert_to(OLD.body, 'UTF8'));
            END IF;
            IF NEW.reason IS NULL AND OLD.reason IS NOT NULL THEN
                NEW.reason_digest := sha256(convert_to(OLD.reason, 'UTF8'));
            END IF;
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'posthorn.% is append-only; its rows are evidence', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION posthorn.refuse_change_but_purge IS 'Trigger: lets the body and the reason of an answer be set to NULL after its event''s payload was purged, and nothing else.';
CREATE FUNCTION posthorn.refuse_change_but_purge_of_reason() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    purged posthorn.deliveries := OLD;
BEGIN
    purged.reason := NULL;
    IF TG_OP = 'UPDATE' AND OLD.reason IS NOT NULL AND NEW IS NOT DISTINCT FROM purged
       AND EXISTS (SELECT FROM posthorn.events e WHERE e.id = OLD.event_id AND e.purged_at IS NOT NULL) THEN
        NEW.reason_digest := sha256(convert_to(OLD.reason, 'UTF8'));
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'posthorn.% is append-only; its rows are evidence', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;
COMMENT ON FUNCTION posthorn.refuse_change_but_purge_of_reason IS 'Trigger: the same for the reason of a delivery, which quotes the last answer.';
REVOKE ALL ON FUNCTION posthorn.refuse_change_but_purge, posthorn.refuse_change_but_purge_of_reason FROM PUBLIC;

-- Of each row: partitions have it from their parent. An INSERT does not see it.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON posthorn.deliveries
    FOR EACH ROW EXECUTE FUNCTION posthorn.refuse_change_but_purge_of_reason();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON posthorn.attempts
    FOR EACH ROW EXECUTE FUNCTION posthorn.refuse_change_but_purge();

-- Of TRUNCATE a partition has none from its parent.
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT relid FROM pg_partition_tree('posthorn.deliveries')
                UNION ALL SELECT relid FROM pg_partition_tree('posthorn.attempts') LOOP
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s
                        FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change()', part);
    END LOOP;
END $$;

-- Whoever reads takes a lock on the parent first, then the list of its partitions, then a
-- snapshot. Between the last two, rows that are moved would be in a partition that is not on
-- the list (docs/decisions/0059-days-are-made-with-the-log-to-oneself.md). So rows move, and a
-- day begins that is here already, while nobody else has the parent's lock.
--
-- Others stand in line behind a lock that is waited for, publishers too: each try is short, and
-- so is what is done under the lock. Now and then one is long enough for autovacuum to be sent
-- away, which takes deadlock_timeout.
CREATE FUNCTION posthorn.have_alone(parent text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tries int := 60;
BEGIN
    FOR try IN 1..tries LOOP
        BEGIN
            PERFORM set_config('lock_timeout', CASE WHEN try % 10 = 0 THEN '1200ms' ELSE '100ms' END, true);
            EXECUTE format('LOCK TABLE ONLY posthorn.%I, posthorn.%I IN ACCESS EXCLUSIVE MODE',
                           parent, parent || '_default');
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF try = tries THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(1);
    END LOOP;
END $$;
COMMENT ON FUNCTION posthorn.have_alone IS 'Locks events, deliveries or attempts against everybody else, in short tries; fails after a minute.';

-- Rows that came before their partition did; their xid is copied, so the feed sees them where
-- they were.
CREATE FUNCTION posthorn.move_rows(parent text, part text, low uuid, high uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key text := CASE parent WHEN 'events' THEN 'id' ELSE 'event_id' END;
    columns text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ') INTO columns
      FROM pg_attribute
     WHERE attrelid = ('posthorn.' || parent)::regclass
       AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('WITH moved AS (DELETE FROM posthorn.%I WHERE %I >= %L AND %I < %L RETURNING %s)
                    INSERT INTO posthorn.%I (%s) SELECT %s FROM moved',
                   parent || '_default', key, low, key, high, columns, part, columns, columns);
END $$;
COMMENT ON FUNCTION posthorn.move_rows IS 'Moves the rows of a day out of the default partition.';

-- One day of one table. With rows to move, the application waits only for those that came
-- since the others were moved.
CREATE FUNCTION posthorn.make_partition(parent text, day date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low uuid := posthorn.uuid_floor(day::timestamptz);
    high uuid := posthorn.uuid_floor((day + 1)::timestamptz);
    key text := CASE parent WHEN 'events' THEN 'id' ELSE 'event_id' END;
    part text := parent || to_char(day, '_YYYYMMDD');
    rest text := parent || '_default';
    moves boolean;
    grantee text;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM posthorn.%I WHERE %I >= %L AND %I < %L)',
                   rest, key, low, key, high) INTO moves;
    IF moves THEN
        -- Before anything is moved in vain: is there a reader who stays?
        BEGIN
            PERFORM posthorn.have_alone(parent);
            RAISE EXCEPTION USING ERRCODE = 'PH001';
        EXCEPTION WHEN SQLSTATE 'PH001' THEN
        END;
    END IF;
    EXECUTE format('CREATE TABLE posthorn.%I (LIKE posthorn.%I INCLUDING DEFAULTS INCLUDING GENERATED
                        INCLUDING CONSTRAINTS INCLUDING INDEXES,
                        CONSTRAINT of_its_day CHECK (%I >= %L AND %I < %L))', part, parent, key, low, key, high);
    -- Rights are the parent's; the owner's default privileges may have given others.
    FOR grantee IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                     FROM pg_class c, aclexplode(c.relacl) a
                    WHERE c.oid = ('posthorn.' || part)::regclass AND a.grantee <> c.relowner LOOP
        EXECUTE format('REVOKE ALL ON posthorn.%I FROM %s', part, grantee);
    END LOOP;
    IF moves AND parent = 'events' THEN
        PERFORM posthorn.move_rows(parent, part, low, high);
    END IF;
    IF moves OR day <= current_date THEN
        PERFORM posthorn.have_alone(parent);
    END IF;
    IF moves THEN
        -- The move is no change: the trigger that would refuse it is off for this
        -- transaction, which has the table to itself.
        IF parent <> 'events' THEN
            EXECUTE format('ALTER TABLE posthorn.%I DISABLE TRIGGER append_only', rest);
        END IF;
        PERFORM posthorn.move_rows(parent, part, low, high);
        IF parent <> 'events' THEN
            EXECUTE format('ALTER TABLE posthorn.%I ENABLE TRIGGER append_only', rest);
        END IF;
    END IF;
    -- ATTACH locks the parent less than CREATE … PARTITION OF: readers go on.
    EXECUTE format('ALTER TABLE posthorn.%I ATTACH PARTITION posthorn.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, part, low, high);
    EXECUTE format('ALTER TABLE posthorn.%I DROP CONSTRAINT of_its_day', part);
    IF parent <> 'events' THEN
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON posthorn.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change()', part);
    END IF;
END $$;
COMMENT ON FUNCTION posthorn.make_partition IS 'Makes one daily partition of events, deliveries or attempts.';

-- Each in a transaction of its own: the parent's lock lasts to its end.
CREATE FUNCTION posthorn.make_next_partition(days_ahead int) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    parent text;
    day date;
    oldest uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('posthorn.partitions'));
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        SELECT d.day::date INTO day
          FROM generate_series(current_date, current_date + days_ahead, interval '1 day') AS d (day)
         WHERE to_regclass('posthorn.' || parent || to_char(d.day, '_YYYYMMDD')) IS NULL
         ORDER BY 1 LIMIT 1;
        -- Days that passed while no worker ran: retention drops partitions, and no rows. What is
        -- older than any retention has an id that tells no time.
        IF NOT FOUND THEN
            EXECUTE format('SELECT %1$I FROM posthorn.%2$I WHERE %1$I >= $1 AND %1$I < $2 ORDER BY 1 LIMIT 1',
                           CASE parent WHEN 'events' THEN 'id' ELSE 'event_id' END, parent || '_default')
               INTO oldest
              USING posthorn.uuid_floor((current_date - 3650)::timestamptz), posthorn.uuid_floor(current_date::timestamptz);
            day := posthorn.event_day(oldest);
        END IF;
        IF day IS NOT NULL THEN
            PERFORM posthorn.make_partition(parent, day);
            RETURN parent || to_char(day, '_YYYYMMDD');
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.make_next_partition IS 'Makes one daily partition that is missing, of the days from today to so many ahead and of those that have rows, and returns its name; NULL when none is missing.';

CREATE OR REPLACE FUNCTION posthorn.make_partitions(days_ahead int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    made int := 0;
BEGIN
    WHILE posthorn.make_next_partition(days_ahead) IS NOT NULL LOOP
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION posthorn.make_partitions IS 'Makes all of them at once, and returns how many. Where rows have to be moved, publishers wait until it has ended: a worker makes one after the other.';

REVOKE ALL ON FUNCTION posthorn.have_alone, posthorn.move_rows, posthorn.make_partition, posthorn.make_next_partition FROM PUBLIC;

-- Every version of the configuration. Rows name secrets and do not hold them.

CREATE TABLE posthorn.config_history (
    kind       text        NOT NULL CHECK (kind IN ('subscription', 'profile', 'lock')),
    subject    text        NOT NULL,
    revision   bigint      NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settings   jsonb,
    xid        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (kind, subject, revision)
);
CREATE INDEX config_history_changed ON posthorn.config_history (changed_at);
COMMENT ON INDEX posthorn.config_history_changed IS 'Workers ask when the settings changed last.';
COMMENT ON TABLE posthorn.config_history IS 'Every version of subscriptions, profiles and locks, append-only.';
COMMENT ON COLUMN posthorn.config_history.kind IS 'subscription, profile or lock.';
COMMENT ON COLUMN posthorn.config_history.subject IS 'The subscription''s id, or the name.';
COMMENT ON COLUMN posthorn.config_history.revision IS 'From this configuration on.';
COMMENT ON COLUMN posthorn.config_history.changed_at IS 'When the change was about to be committed.';
COMMENT ON COLUMN posthorn.config_history.settings IS 'The row without its NULLs; NULL: it was deleted.';
COMMENT ON COLUMN posthorn.config_history.xid IS 'The transaction that changed it: what it published itself met the new settings.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posthorn.config_history
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_change();

-- With the owner's rights: whoever may change a setting writes no history of his own. On
-- another table they would write whatever its owner likes, and call the casts of its types.
CREATE FUNCTION posthorn.keep_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_RELID NOT IN ('posthorn.subscriptions'::regclass, 'posthorn.profiles'::regclass, 'posthorn.locks'::regclass) THEN
        RAISE EXCEPTION '% keeps no versions', TG_RELID::regclass
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO posthorn.config_history (kind, subject, revision, settings)
    VALUES (left(TG_TABLE_NAME, -1),
            CASE TG_TABLE_NAME WHEN 'subscriptions' THEN to_jsonb(NEW) ->> 'id' ELSE NEW.name END,
            NEW.revision, jsonb_strip_nulls(to_jsonb(NEW)));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.keep_version IS 'Trigger: adds a version to posthorn.config_history.';
CREATE FUNCTION posthorn.keep_deletion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_RELID <> 'posthorn.locks'::regclass THEN
        RAISE EXCEPTION '% keeps no versions', TG_RELID::regclass
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO posthorn.config_history (kind, subject, revision)
    SELECT 'lock', OLD.name, c.revision FROM posthorn.config_revision c;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.keep_deletion IS 'Trigger: the same for a lock that is deleted. A profile is, only when no subscription has it.';

-- Deferred: changed_at is then the commit's time but for a moment, however long the
-- transaction was open. Workers and the audit compare it with the events' times.
CREATE CONSTRAINT TRIGGER keep_version AFTER INSERT OR UPDATE ON posthorn.subscriptions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION posthorn.keep_version();
CREATE CONSTRAINT TRIGGER keep_version AFTER INSERT OR UPDATE ON posthorn.profiles
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION posthorn.keep_version();
CREATE CONSTRAINT TRIGGER keep_version AFTER INSERT OR UPDATE ON posthorn.locks
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION posthorn.keep_version();
-- At once, as only its own statement knows its revision.
CREATE TRIGGER keep_deletion AFTER DELETE ON posthorn.locks
    FOR EACH ROW EXECUTE FUNCTION posthorn.keep_deletion();

-- What holds now has held since its last change; of what was before nothing is known.
INSERT INTO posthorn.config_history
SELECT 'subscription', s.id::text, s.revision, s.updated_at, jsonb_strip_nulls(to_jsonb(s)) FROM posthorn.subscriptions s
UNION ALL
SELECT 'profile', p.name, p.revision, p.updated_at, jsonb_strip_nulls(to_jsonb(p)) FROM posthorn.profiles p
UNION ALL
SELECT 'lock', l.name, l.revision, l.updated_at, jsonb_strip_nulls(to_jsonb(l)) FROM posthorn.locks l;

CREATE FUNCTION posthorn.config_at(subscription uuid, revision bigint) RETURNS SETOF posthorn.config_history
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH own AS (
        SELECT h.* FROM posthorn.config_history h
         WHERE h.kind = 'subscription' AND h.subject = config_at.subscription::text
           AND h.revision <= config_at.revision
         ORDER BY h.revision DESC LIMIT 1
    ), locks AS (
        SELECT DISTINCT ON (h.subject) h.* FROM posthorn.config_history h
         WHERE h.kind = 'lock' AND h.revision <= config_at.revision
         ORDER BY h.subject, h.revision DESC)
    SELECT l.* FROM locks l CROSS JOIN own
     WHERE l.settings IS NOT NULL
       AND coalesce(l.settings ->> 'merchant' = own.settings ->> 'merchant', true)
       AND (l.settings ->> 'profile' IS NULL OR l.settings ->> 'profile' IS NOT DISTINCT FROM own.settings ->> 'profile')
    UNION ALL
    SELECT * FROM own
    UNION ALL
    (SELECT h.* FROM posthorn.config_history h CROSS JOIN own
      WHERE h.kind = 'profile' AND h.subject = own.settings ->> 'profile' AND h.revision <= config_at.revision
      ORDER BY h.revision DESC LIMIT 1)
$$;
COMMENT ON FUNCTION posthorn.config_at IS
    'The locks, the subscription and the profile as they were at a revision, such as an attempt names; of the locks the broadest may give way to a narrower one.';
