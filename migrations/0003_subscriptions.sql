-- Who is told, where and how. A setting that is NULL is the profile's, and after that
-- the engine's default; the columns have the names of the TOML keys.

CREATE TABLE posthorn.config_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint  NOT NULL DEFAULT 0
);
COMMENT ON TABLE posthorn.config_revision IS 'One row: workers look at it once a second to see whether anything changed.';
COMMENT ON COLUMN posthorn.config_revision.only_row IS 'Keeps the table at one row.';
COMMENT ON COLUMN posthorn.config_revision.revision IS 'Grows with every statement that changes a profile or a subscription.';
INSERT INTO posthorn.config_revision DEFAULT VALUES;

CREATE TABLE posthorn.profiles (
    name             text        NOT NULL CHECK (name <> ''),
    revision         bigint      NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    url              text        CHECK (url ~* '^https?://[^/?#]+')
                                 CONSTRAINT url_has_no_user_name_or_password CHECK (url !~ '^[^/?#]*//[^/?#]*@'),
    method           text        CHECK (method IN ('POST', 'GET')),
    encoding         text        CHECK (encoding IN ('json', 'xml', 'nvp', 'query')),
    fields           json        CHECK (json_typeof(fields) = 'array'),
    xml_root         text        CHECK (xml_root <> ''),
    kinds            text[]      CHECK (array_position(kinds, NULL) IS NULL),
    statuses         text[]      CHECK (array_position(statuses, NULL) IS NULL),
    success_statuses text[]      CHECK (cardinality(success_statuses) > 0),
    success_body     text        CHECK (success_body <> ''),
    give_up_statuses text[]      CHECK (array_position(give_up_statuses, NULL) IS NULL),
    auth             text        CHECK (auth IN ('none', 'basic', 'api_key')),
    auth_secret      text        CHECK (auth_secret ~ '^(env|file):.'),
    client_cert      text        CHECK (client_cert ~ '^(env|file):.'),
    client_key       text        CHECK (client_key ~ '^(env|file):.'),
    ca_cert          text        CHECK (ca_cert ~ '^(env|file):.'),
    retry            text        CHECK (retry IN ('fixed', 'exponential', 'list')),
    retry_interval   interval    CHECK (retry_interval BETWEEN '0' AND '30 days'),
    retry_factor     float8      CHECK (retry_factor BETWEEN 1 AND 100),
    retry_cap        interval    CHECK (retry_cap BETWEEN '0' AND '30 days'),
    retry_jitter     float8      CHECK (retry_jitter BETWEEN 0 AND 1),
    retry_delays     interval[]  CHECK (cardinality(retry_delays) BETWEEN 1 AND 100),
    max_attempts     int         CHECK (max_attempts BETWEEN 1 AND 1000000),
    max_age          interval    CHECK (max_age > '0'),
    retry_after      boolean,
    timeout          interval    CHECK (timeout > '0' AND timeout <= '10 minutes'),
    connect_timeout  interval    CHECK (connect_timeout > '0' AND connect_timeout <= '10 minutes'),
    max_in_flight    int         CHECK (max_in_flight BETWEEN 1 AND 500),
    rate             float8      CHECK (rate BETWEEN 0.0001 AND 1000000),
    "order"          text        CHECK ("order" IN ('none', 'transaction')),
    supersede        boolean,
    PRIMARY KEY (name)
);
COMMENT ON TABLE posthorn.profiles IS 'Named sets of subscription defaults.';
COMMENT ON COLUMN posthorn.profiles.name IS 'What subscriptions name in their profile column.';
COMMENT ON COLUMN posthorn.profiles.revision IS 'posthorn.config_revision at the last change.';
COMMENT ON COLUMN posthorn.profiles.created_at IS 'When the row was made.';
COMMENT ON COLUMN posthorn.profiles.updated_at IS 'When the row was last changed.';
COMMENT ON COLUMN posthorn.profiles.url IS 'Where to send: http or https with a host.';
COMMENT ON COLUMN posthorn.profiles.method IS 'POST, or GET with the encoding query.';
COMMENT ON COLUMN posthorn.profiles.encoding IS 'json, xml, nvp (form-urlencoded body) or query.';
COMMENT ON COLUMN posthorn.profiles.fields IS 'Ordered field map: [{"name", "source", "map"?, "omit_when"?}]; NULL sends data as it is.';
COMMENT ON COLUMN posthorn.profiles.xml_root IS 'Name of the outermost XML element.';
COMMENT ON COLUMN posthorn.profiles.kinds IS 'Patterns of wanted kinds, * for any run of characters; NULL or empty: all.';
COMMENT ON COLUMN posthorn.profiles.statuses IS 'Patterns of wanted statuses; NULL or empty: all.';
COMMENT ON COLUMN posthorn.profiles.success_statuses IS 'Statuses that count as delivered, such as {200-299}.';
COMMENT ON COLUMN posthorn.profiles.success_body IS 'Text that the answer''s body must also be, letter case ignored.';
COMMENT ON COLUMN posthorn.profiles.give_up_statuses IS 'Statuses after which no retry is made, such as {410}.';
COMMENT ON COLUMN posthorn.profiles.auth IS 'none, basic or api_key.';
COMMENT ON COLUMN posthorn.profiles.auth_secret IS 'Where the worker finds the credential: env:NAME or file:PATH.';
COMMENT ON COLUMN posthorn.profiles.client_cert IS 'Client certificate chain, PEM: env:NAME or file:PATH.';
COMMENT ON COLUMN posthorn.profiles.client_key IS 'Its private key, PEM: env:NAME or file:PATH.';
COMMENT ON COLUMN posthorn.profiles.ca_cert IS 'Further root certificates for this endpoint alone, PEM: env:NAME or file:PATH.';
COMMENT ON COLUMN posthorn.profiles.retry IS 'fixed, exponential or list.';
COMMENT ON COLUMN posthorn.profiles.retry_interval IS 'Delay of fixed; first delay of exponential.';
COMMENT ON COLUMN posthorn.profiles.retry_factor IS 'Growth of exponential from one delay to the next.';
COMMENT ON COLUMN posthorn.profiles.retry_cap IS 'No delay is longer, Retry-After included.';
COMMENT ON COLUMN posthorn.profiles.retry_jitter IS 'Share of an exponential delay by which it is spread, 0 to 1.';
COMMENT ON COLUMN posthorn.profiles.retry_delays IS 'Delays of list, one after each failed attempt.';
COMMENT ON COLUMN posthorn.profiles.max_attempts IS 'Attempts in all, the first send included.';
COMMENT ON COLUMN posthorn.profiles.max_age IS 'No retry is planned later than this after the event.';
COMMENT ON COLUMN posthorn.profiles.retry_after IS 'Whether a Retry-After header can lengthen a delay; with 429 or 503 nothing at all is sent before then.';
COMMENT ON COLUMN posthorn.profiles.timeout IS 'For the whole exchange, from name look-up to the end of the body.';
COMMENT ON COLUMN posthorn.profiles.connect_timeout IS 'For the connection alone.';
COMMENT ON COLUMN posthorn.profiles.max_in_flight IS 'Simultaneous sends over all workers, 1 to 500.';
COMMENT ON COLUMN posthorn.profiles.rate IS 'Sends a second; NULL: no limit.';
COMMENT ON COLUMN posthorn.profiles."order" IS 'none, or transaction: the events of one transaction one after another.';
COMMENT ON COLUMN posthorn.profiles.supersede IS 'Whether a newer event of a transaction replaces one that still waits.';

-- LIKE takes the settings with their rules and comments: they exist once.
CREATE TABLE posthorn.subscriptions (
    id         uuid    NOT NULL DEFAULT posthorn.uuid_v7(),
    merchant   text    NOT NULL CHECK (merchant <> ''),
    profile    text    REFERENCES posthorn.profiles (name) ON UPDATE CASCADE,
    enabled    boolean NOT NULL DEFAULT true,
    paused     boolean NOT NULL DEFAULT false,
    managed_by text    NOT NULL DEFAULT 'sql' CHECK (managed_by ~ '^(sql|file|file:[A-Za-z0-9._-]{1,64})$'),
    LIKE posthorn.profiles INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING DEFAULTS,
    PRIMARY KEY (id),
    UNIQUE (merchant, name),
    CONSTRAINT subscriptions_get_takes_query
        CHECK (method IS NULL OR encoding IS NULL OR (method = 'GET') = (encoding = 'query')),
    CONSTRAINT subscriptions_certificate_and_key_together
        CHECK ((client_cert IS NULL) = (client_key IS NULL))
);
COMMENT ON TABLE posthorn.subscriptions IS 'One endpoint of one merchant.';
COMMENT ON COLUMN posthorn.subscriptions.id IS 'Stable; deliveries and attempts name it.';
COMMENT ON COLUMN posthorn.subscriptions.merchant IS 'Whose endpoint it is.';
COMMENT ON COLUMN posthorn.subscriptions.name IS 'Unique within the merchant.';
COMMENT ON COLUMN posthorn.subscriptions.profile IS 'Where settings come from that are NULL here.';
COMMENT ON COLUMN posthorn.subscriptions.enabled IS 'false: matches nothing, and what is open is cancelled.';
COMMENT ON COLUMN posthorn.subscriptions.paused IS 'true: nothing is sent, deliveries wait as pending.';
COMMENT ON COLUMN posthorn.subscriptions.managed_by IS 'sql: people own the row; file:NAME: the config file of that owner does; file: one that names none.';

-- The statement takes the next revision under the row's lock, so revisions commit in
-- their order and "revision > the last one seen" misses nothing.
CREATE FUNCTION posthorn.take_revision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE posthorn.config_revision SET revision = revision + 1;
    RETURN NULL;
END $$;
CREATE FUNCTION posthorn.stamp_revision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.revision := (SELECT c.revision FROM posthorn.config_revision c);
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE FUNCTION posthorn.refuse_delete() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'posthorn.% rows are kept, because deliveries name them', TG_TABLE_NAME
        USING HINT = 'UPDATE … SET enabled = false stops a subscription.';
END $$;
-- Whoever may change the configuration may count its changes, and neither go back, so that a
-- change would seem older than it is, nor to where the numbers end.
CREATE FUNCTION posthorn.guard_revision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
                    WHERE c.oid = TG_RELID AND r.rolname = current_user) THEN
        RAISE EXCEPTION 'the configuration''s changes are counted one by one'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.guard_revision IS 'Trigger: refuses whoever would count the configuration''s changes otherwise than one by one.';
CREATE TRIGGER guard_revision BEFORE UPDATE ON posthorn.config_revision FOR EACH ROW
    WHEN (NEW.revision <> OLD.revision + 1) EXECUTE FUNCTION posthorn.guard_revision();
COMMENT ON FUNCTION posthorn.take_revision IS 'Trigger: counts the configuration''s changes.';
COMMENT ON FUNCTION posthorn.stamp_revision IS 'Trigger: writes the change''s number into the row.';
COMMENT ON FUNCTION posthorn.refuse_delete IS 'Trigger: keeps rows that the ledger names.';

CREATE TRIGGER take_revision BEFORE INSERT OR UPDATE ON posthorn.profiles
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_revision();
CREATE TRIGGER stamp_revision BEFORE INSERT OR UPDATE ON posthorn.profiles
    FOR EACH ROW EXECUTE FUNCTION posthorn.stamp_revision();
CREATE TRIGGER take_revision BEFORE INSERT OR UPDATE ON posthorn.subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_revision();
CREATE TRIGGER stamp_revision BEFORE INSERT OR UPDATE ON posthorn.subscriptions
    FOR EACH ROW EXECUTE FUNCTION posthorn.stamp_revision();
CREATE TRIGGER refuse_delete BEFORE DELETE ON posthorn.subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_delete();

CREATE INDEX subscriptions_revision ON posthorn.subscriptions (revision);
CREATE INDEX subscriptions_profile ON posthorn.subscriptions (profile);
