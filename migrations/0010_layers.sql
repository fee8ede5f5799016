-- Who may say what holds: operators' locks above subscriptions above profiles, and rows of
-- a config file beside rows of people.

ALTER TABLE posthorn.profiles
    ADD COLUMN managed_by text NOT NULL DEFAULT 'sql' CHECK (managed_by ~ '^(sql|builtin|file|file:[A-Za-z0-9._-]{1,64})$');
COMMENT ON COLUMN posthorn.profiles.managed_by IS
    'sql: people own the row; file:NAME: the config file of that owner does; file: one that names none; builtin: it comes with Posthorn.';
-- Until now only files made profiles that a file's subscriptions named.
UPDATE posthorn.profiles p SET managed_by = 'file'
 WHERE EXISTS (SELECT FROM posthorn.subscriptions s WHERE s.profile = p.name AND s.managed_by = 'file');

ALTER TABLE posthorn.config_revision ADD COLUMN locks_revision bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN posthorn.config_revision.locks_revision IS 'The revision of the last change to posthorn.locks, which can concern every subscription.';

CREATE TABLE posthorn.locks (
    merchant text CHECK (merchant <> ''),
    profile  text CHECK (profile <> ''),
    LIKE posthorn.profiles INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING DEFAULTS,
    PRIMARY KEY (name),
    CONSTRAINT locks_are_not_builtin CHECK (managed_by <> 'builtin')
);
COMMENT ON TABLE posthorn.locks IS 'Settings that the operator fixes: they win over subscriptions and profiles.';
COMMENT ON COLUMN posthorn.locks.merchant IS 'Whose subscriptions it holds for; NULL: every merchant''s.';
COMMENT ON COLUMN posthorn.locks.profile IS 'Which profile''s subscriptions it holds for; NULL: every one, also those without a profile.';
COMMENT ON COLUMN posthorn.locks.name IS 'Names the lock in `posthorn config show`.';
COMMENT ON COLUMN posthorn.locks.managed_by IS 'sql: people own the row; file:NAME: the config file of that owner does; file: one that names none.';

-- Here and below with a path: whoever changes a row by hand may have one that leads to functions
-- of others, and to_jsonb(posthorn.subscriptions) would be a better match than PostgreSQL's own.
CREATE FUNCTION posthorn.take_locks_revision() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE posthorn.config_revision SET revision = revision + 1, locks_revision = revision + 1;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.take_locks_revision IS 'Trigger: counts a change that can concern every subscription.';
CREATE TRIGGER take_revision BEFORE INSERT OR UPDATE OR DELETE ON posthorn.locks
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_locks_revision();
CREATE TRIGGER stamp_revision BEFORE INSERT OR UPDATE ON posthorn.locks
    FOR EACH ROW EXECUTE FUNCTION posthorn.stamp_revision();

-- A change that the next apply would undo in silence is refused instead; but gone_at (0016) is
-- the engine's and people's, whoever manages the row.
CREATE FUNCTION posthorn.guard_managed_row() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.managed_by <> 'sql' AND current_setting('posthorn.applying', true) IS DISTINCT FROM 'on'
       AND (TG_OP = 'DELETE' OR (NEW.managed_by = OLD.managed_by
            AND to_jsonb(NEW) - 'gone_at' IS DISTINCT FROM to_jsonb(OLD) - 'gone_at')) THEN
        RAISE EXCEPTION 'this row of posthorn.% is managed by %', TG_TABLE_NAME,
                CASE OLD.managed_by WHEN 'file' THEN 'a config file' WHEN 'builtin' THEN 'Posthorn itself'
                     ELSE 'the config file of ' || substr(OLD.managed_by, 6) END
            USING HINT = 'Change the file and apply it, or take the row over: SET managed_by = ''sql'' in the same UPDATE.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION posthorn.guard_managed_row IS 'Trigger: people take a row over before they change what a file or Posthorn owns.';
CREATE TRIGGER guard_managed_row BEFORE UPDATE OR DELETE ON posthorn.profiles
    FOR EACH ROW EXECUTE FUNCTION posthorn.guard_managed_row();
CREATE TRIGGER guard_managed_row BEFORE UPDATE ON posthorn.subscriptions
    FOR EACH ROW EXECUTE FUNCTION posthorn.guard_managed_row();
CREATE TRIGGER guard_managed_row BEFORE UPDATE OR DELETE ON posthorn.locks
    FOR EACH ROW EXECUTE FUNCTION posthorn.guard_managed_row();

-- The columns are read from the catalogue: a setting that a later migration adds is
-- declared without another list of them.
--
-- A function's SET of a name that PostgreSQL does not know itself needs a superuser since
-- PostgreSQL 15, at CREATE FUNCTION and so in a dump as well; set_config needs nobody. What it
-- sets for the transaction is put back here, and by an error.
CREATE FUNCTION posthorn.declare(target regclass, keys text, given jsonb) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    engines  text[] := '{id,revision,created_at,updated_at,gone_at}';
    applying text := current_setting('posthorn.applying', true);
    columns  text;
    theirs   text;
    changed  bigint;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
           string_agg('excluded.' || quote_ident(attname), ', ' ORDER BY attnum)
      INTO columns, theirs
      FROM pg_attribute
     WHERE attrelid = target AND attnum > 0 AND NOT attisdropped AND attname <> ALL (engines);
    PERFORM set_config('posthorn.applying', 'on', true);
    EXECUTE format(
        'INSERT INTO %1$s AS t (%2$s)
         SELECT %2$s FROM jsonb_populate_recordset(NULL::%1$s, $1)
         ON CONFLICT (%4$s) DO UPDATE SET (%2$s) = (SELECT %3$s)
          WHERE to_jsonb(t) - $2 IS DISTINCT FROM to_jsonb(excluded) - $2',
        target, columns, theirs, keys)
    USING given, engines;
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM set_config('posthorn.applying', coalesce(applying, ''), true);
    RETURN changed;
END $$;
COMMENT ON FUNCTION posthorn.declare IS
    'Makes rows of profiles, locks or subscriptions what is given, a JSON object each; returns how many were made or changed.';
