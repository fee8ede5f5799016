-- Endpoints that answer that they are gone (disable_statuses, such as 410) disable their
-- subscription.

ALTER TABLE posthorn.subscriptions ADD COLUMN gone_at timestamptz;
COMMENT ON COLUMN posthorn.subscriptions.gone_at IS
    'When an answer of disable_statuses disabled it. SET gone_at = NULL, or a new url, enables it again.';

CREATE FUNCTION posthorn.clear_gone_at() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.url IS DISTINCT FROM OLD.url THEN
        NEW.gone_at := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.clear_gone_at IS 'Trigger: another address is not the one that is gone.';
CREATE TRIGGER clear_gone_at BEFORE UPDATE OF url ON posthorn.subscriptions
    FOR EACH ROW EXECUTE FUNCTION posthorn.clear_gone_at();
