-- Endpoints that answer that they are gone (disable_statuses, such as 410) disable their
-- subscription.

ALTER TABLE posthorn.subscriptions ADD COLUMN gone_at timestamptz;
COMMENT ON COLUMN posthorn.subscriptions.gone_at IS
    'When an answer of disable_statuses disabled it. SET gone_at = NULL, or a new url, enables it again.';

CREATE FUNCTION posthorn.clear_gone_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.url IS DISTINCT FROM OLD.url THEN
        NEW.gone_at := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.clear_gone_at IS 'Trigger: another address is not the one that is gone.';
CREATE TRIGGER clear_gone_at BEFORE UPDATE OF url ON posthorn.subscriptions
    FOR EACH ROW EXECUTE FUNCTION posthorn.clear_gone_at();

-- As in 0010, but for gone_at: it is the engine's and people's, whoever manages the row.
CREATE OR REPLACE FUNCTION posthorn.guard_managed_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.managed_by <> 'sql' AND current_setting('posthorn.applying', true) IS DISTINCT FROM 'on'
       AND (TG_OP = 'DELETE' OR (NEW.managed_by = OLD.managed_by
            AND to_jsonb(NEW) - 'gone_at' IS DISTINCT FROM to_jsonb(OLD) - 'gone_at')) THEN
        RAISE EXCEPTION 'this row of posthorn.% is managed by %', TG_TABLE_NAME,
                CASE OLD.managed_by WHEN 'file' THEN 'a config file' ELSE 'Posthorn itself' END
            USING HINT = 'Change the file and apply it, or take the row over: SET managed_by = ''sql'' in the same UPDATE.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
