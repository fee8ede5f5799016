-- The way in for a provider that prefers a call to an INSERT.

-- With the owner's rights, so that it can return the id to a role that may insert but
-- not read. Its search_path holds for the column defaults and triggers of the INSERT too.
CREATE FUNCTION posthorn.publish(
    merchant text, kind text, transaction_id text, status text, data json DEFAULT '{}'
) RETURNS uuid LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_id uuid;
BEGIN
    INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING events.id INTO event_id;
    RETURN event_id;
END $$;
COMMENT ON FUNCTION posthorn.publish IS
    'Appends an event in the caller''s transaction and returns its id; the same as INSERT INTO posthorn.events.';
REVOKE ALL ON FUNCTION posthorn.publish FROM PUBLIC;
