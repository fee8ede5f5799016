-- Who may do what. Rights are given by name: to roles, by `posthorn grant`, which remembers
-- them here so that `posthorn migrate` can give them again for what a new version brings.
-- SECURITY.md has the table of all rights, and a test compares it with this schema.

CREATE TABLE posthorn.grantees (
    role_name  text        NOT NULL CHECK (role_name <> ''),
    part       text        NOT NULL CHECK (part IN ('publisher', 'worker', 'gateway', 'viewer')),
    merchants  text[],
    answers    boolean     NOT NULL DEFAULT false,
    granted_at timestamptz NOT NULL DEFAULT now(),
    role_oid   oid,
    server     bigint,
    PRIMARY KEY (role_name, part),
    CONSTRAINT grantees_merchants_are_a_publishers CHECK (
        merchants IS NULL
        OR (part = 'publisher' AND cardinality(merchants) > 0 AND array_position(merchants, NULL) IS NULL)),
    CONSTRAINT grantees_answers_are_a_viewers CHECK (NOT answers OR part = 'viewer')
);
COMMENT ON TABLE posthorn.grantees IS 'Which database roles have which part; written by `posthorn grant`.';
COMMENT ON COLUMN posthorn.grantees.role_name IS 'The role. By its name, so that a dump can be restored where it does not exist yet.';
COMMENT ON COLUMN posthorn.grantees.part IS 'publisher, worker, gateway or viewer.';
COMMENT ON COLUMN posthorn.grantees.merchants IS 'Of a publisher: for whom alone it may publish, through posthorn.own_events; NULL: for every merchant.';
COMMENT ON COLUMN posthorn.grantees.answers IS 'Of a viewer: whether it sees the bodies of receivers'' answers.';
COMMENT ON COLUMN posthorn.grantees.granted_at IS 'When it was granted last.';
COMMENT ON COLUMN posthorn.grantees.role_oid IS 'The role itself: another one that is given its name after it was dropped has no part.';
COMMENT ON COLUMN posthorn.grantees.server IS 'Where role_oid means that role: the server''s system identifier. In another one the name says which role it is.';

-- A publisher of some merchants inserts into this view, which holds nothing. The default of
-- publisher is evaluated with the rights of whoever inserts, who has no right to the column:
-- so the trigger, which runs as the owner, knows for sure on whose behalf.
CREATE VIEW posthorn.own_events AS
SELECT NULL::uuid AS id, NULL::name AS publisher, NULL::text AS merchant, NULL::text AS kind,
       NULL::text AS transaction_id, NULL::text AS status, NULL::json AS data, NULL::json AS subscriptions
 WHERE false;
ALTER VIEW posthorn.own_events ALTER COLUMN publisher SET DEFAULT current_user;
ALTER VIEW posthorn.own_events ALTER COLUMN data SET DEFAULT '{}';
COMMENT ON VIEW posthorn.own_events IS 'The way in for a publisher that may publish for some merchants only: INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status, data) … RETURNING id. It is always empty.';
COMMENT ON COLUMN posthorn.own_events.id IS 'The new event''s id, for RETURNING.';
COMMENT ON COLUMN posthorn.own_events.publisher IS 'The role that inserts; nobody has the right to give another.';
COMMENT ON COLUMN posthorn.own_events.merchant IS 'As in posthorn.publish(), and so are the columns that follow.';
COMMENT ON COLUMN posthorn.own_events.kind IS 'What kind of change.';
COMMENT ON COLUMN posthorn.own_events.transaction_id IS 'The provider''s own id.';
COMMENT ON COLUMN posthorn.own_events.status IS 'The transaction''s new status.';
COMMENT ON COLUMN posthorn.own_events.data IS 'What is published about it.';
COMMENT ON COLUMN posthorn.own_events.subscriptions IS 'Where this transaction wants its events sent, beside the merchant''s subscriptions; NULL: nowhere.';

CREATE FUNCTION posthorn.publish_own() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_RELID <> 'posthorn.own_events'::regclass THEN
        RAISE EXCEPTION '% is not posthorn.own_events', TG_RELID::regclass
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (
           SELECT FROM posthorn.grantees g
            WHERE g.part = 'publisher' AND NEW.merchant = ANY (g.merchants)
              AND pg_has_role(NEW.publisher, to_regrole(quote_ident(g.role_name))::oid, 'USAGE')) THEN
        RAISE EXCEPTION 'the role % may not publish for this merchant', NEW.publisher
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'The schema''s owner can allow it: posthorn grant --publisher ROLE --merchant MERCHANT …, with all of its merchants.';
    END IF;
    NEW.id := posthorn.publish(NEW.merchant, NEW.kind, NEW.transaction_id, NEW.status, NEW.data, NEW.subscriptions);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.publish_own IS 'Trigger: publishes if the inserting role may do so for the merchant.';
CREATE TRIGGER publish_own INSTEAD OF INSERT ON posthorn.own_events
    FOR EACH ROW EXECUTE FUNCTION posthorn.publish_own();

-- PostgreSQL lets everybody execute a new function: not one of these. After each migration
-- `posthorn migrate` takes from everybody what nobody gave them by name (store::grants).
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA posthorn FROM PUBLIC;
