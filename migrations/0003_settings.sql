-- Who is told, where and how: profiles, subscriptions and the operator's locks. A setting that is
-- NULL is the profile's, and after that the engine's default; operators' locks are above
-- subscriptions, and those above profiles. The columns have the names of the TOML keys. Rows of a
-- config file stand beside rows of people; what a row is refused for is said with its remedy; and
-- every version is kept.

CREATE TABLE posthorn.config_revision (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision       bigint  NOT NULL DEFAULT 0,
    locks_revision bigint  NOT NULL DEFAULT 0
);
COMMENT ON TABLE posthorn.config_revision IS 'One row: workers look at it once a second to see whether anything changed.';
COMMENT ON COLUMN posthorn.config_revision.only_row IS 'Keeps the table at one row.';
COMMENT ON COLUMN posthorn.config_revision.revision IS 'Grows with every statement that changes a profile or a subscription.';
COMMENT ON COLUMN posthorn.config_revision.locks_revision IS 'The revision of the last change to posthorn.locks, which can concern every subscription.';
INSERT INTO posthorn.config_revision DEFAULT VALUES;

CREATE TABLE posthorn.profiles (
    name                   text        NOT NULL CHECK (name <> ''),
    revision               bigint      NOT NULL DEFAULT 0,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    url                    text        CHECK (url ~* '^https?://[^/?#]+')
                                       CONSTRAINT url_has_no_user_name_or_password CHECK (url !~ '^[^/?#]*//[^/?#]*@'),
    method                 text        CHECK (method IN ('POST', 'GET')),
    encoding               text        CHECK (encoding IN ('json', 'xml', 'nvp', 'query')),
    fields                 json        CHECK (json_typeof(fields) = 'array'),
    xml_root               text        CHECK (xml_root <> ''),
    kinds                  text[]      CHECK (array_position(kinds, NULL) IS NULL),
    statuses               text[]      CHECK (array_position(statuses, NULL) IS NULL),
    success_statuses       text[]      CHECK (cardinality(success_statuses) > 0),
    success_body           text        CHECK (success_body <> ''),
    give_up_statuses       text[]      CHECK (array_position(give_up_statuses, NULL) IS NULL),
    auth                   text        CHECK (auth IN ('none', 'basic', 'api_key', 'oauth2')),
    auth_secret            text        CHECK (auth_secret ~ '^(env|file|secret):.'),
    client_cert            text        CHECK (client_cert ~ '^(env|file|secret):.'),
    client_key             text        CHECK (client_key ~ '^(env|file|secret):.'),
    ca_cert                text        CHECK (ca_cert ~ '^(env|file|secret):.'),
    retry                  text        CHECK (retry IN ('fixed', 'exponential', 'list')),
    retry_interval         interval    CHECK (retry_interval BETWEEN '0' AND '30 days'),
    retry_factor           float8      CHECK (retry_factor BETWEEN 1 AND 100),
    retry_cap              interval    CHECK (retry_cap BETWEEN '0' AND '30 days'),
    retry_jitter           float8      CHECK (retry_jitter BETWEEN 0 AND 1),
    retry_delays           interval[]  CHECK (cardinality(retry_delays) BETWEEN 1 AND 100),
    max_attempts           int         CHECK (max_attempts BETWEEN 1 AND 1000000),
    max_age                interval    CHECK (max_age > '0'),
    retry_after            boolean,
    timeout                interval    CHECK (timeout > '0' AND timeout <= '10 minutes'),
    connect_timeout        interval    CHECK (connect_timeout > '0' AND connect_timeout <= '10 minutes'),
    max_in_flight          int         CHECK (max_in_flight BETWEEN 1 AND 500),
    rate                   float8      CHECK (rate BETWEEN 0.0001 AND 1000000),
    "order"                text        CHECK ("order" IN ('none', 'transaction')),
    supersede              boolean,
    scope                  text        CHECK (scope IN ('merchant', 'transaction')),
    emit                   text        CHECK (emit IN ('every', 'change')),
    nested                 text        CHECK (nested IN ('dotted', 'brackets', 'json', 'refuse')),
    space                  text        CHECK (space IN ('+', '%20')),
    charset                text        CHECK (charset IN ('unsaid', 'utf-8', 'iso-8859-1', 'windows-1252')),
    xml_illegal            text        CHECK (xml_illegal IN ('replace', 'refuse')),
    accept_encoding        text        CHECK (accept_encoding IN ('identity', 'none')),
    id_header              text        CHECK (id_header ~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]+$'),
    timestamp_header       text        CHECK (timestamp_header ~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]+$'),
    attempt_header         text        CHECK (attempt_header ~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]+$'),
    user_agent             text        CHECK (user_agent ~ '^[ -~]*[!-~][ -~]*$'),
    headers                json        CHECK (json_typeof(headers) = 'object'),
    signing                text        CHECK (signing IN ('none', 'standard_webhooks', 'sensepass_hmac')),
    signing_secrets        text[]      CHECK (cardinality(signing_secrets) BETWEEN 1 AND 10
                                              AND array_to_string(signing_secrets, E'\n', '') ~ E'^((env|file|secret):[^\n]+(\n(?=.)|$))+$'),
    auth_secret_previous   text        CHECK (auth_secret_previous ~ '^(env|file|secret):.'),
    auth_header            text        CHECK (auth_header ~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]+$'),
    oauth2_token_url       text        CHECK (oauth2_token_url ~* '^https?://[^/?#]+')
                                       CONSTRAINT oauth2_token_url_has_no_user_name_or_password CHECK (oauth2_token_url !~ '^[^/?#]*//[^/?#]*@'),
    oauth2_client_auth     text        CHECK (oauth2_client_auth IN ('basic', 'body')),
    oauth2_scope           text        CHECK (oauth2_scope <> ''),
    oauth2_audience        text        CHECK (oauth2_audience <> ''),
    client_pkcs12          text        CHECK (client_pkcs12 ~ '^(env|file|secret):.'),
    client_pkcs12_password text        CHECK (client_pkcs12_password ~ '^(env|file|secret):.'),
    disable_statuses       text[]      CHECK (array_position(disable_statuses, NULL) IS NULL),
    labels                 json        CHECK (json_typeof(labels) = 'object'),
    managed_by             text        NOT NULL DEFAULT 'sql' CHECK (managed_by ~ '^(sql|builtin|file|file:[A-Za-z0-9._-]{1,64})$'),
    source_addresses       text[]      CHECK (cardinality(source_addresses) > 0
                                              AND array_position(source_addresses, NULL) IS NULL),
    proxy_pool             text        CHECK (proxy_pool <> ''),
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
COMMENT ON COLUMN posthorn.profiles.fields IS 'Ordered field map: [{"name", "source", "map"?, "format"?, "omit_when"?}]; NULL sends data as it is.';
COMMENT ON COLUMN posthorn.profiles.xml_root IS 'Name of the outermost XML element.';
COMMENT ON COLUMN posthorn.profiles.kinds IS 'Patterns of wanted kinds, * for any run of characters; NULL: all, empty: none.';
COMMENT ON COLUMN posthorn.profiles.statuses IS 'Patterns of wanted statuses; NULL: all, empty: none.';
COMMENT ON COLUMN posthorn.profiles.success_statuses IS 'Statuses that count as delivered, such as {200-299}.';
COMMENT ON COLUMN posthorn.profiles.success_body IS 'Text that the answer''s body must also be, letter case ignored.';
COMMENT ON COLUMN posthorn.profiles.give_up_statuses IS 'Statuses after which no retry is made, such as {410}.';
COMMENT ON COLUMN posthorn.profiles.auth IS 'none, basic, api_key or oauth2.';
COMMENT ON COLUMN posthorn.profiles.auth_secret IS 'Where the worker finds the credential: env:NAME, file:PATH or secret:NAME.';
COMMENT ON COLUMN posthorn.profiles.client_cert IS 'Client certificate chain, PEM: env:NAME, file:PATH or secret:NAME.';
COMMENT ON COLUMN posthorn.profiles.client_key IS 'Its private key, PEM: env:NAME, file:PATH or secret:NAME.';
COMMENT ON COLUMN posthorn.profiles.ca_cert IS 'Further root certificates for this endpoint alone, PEM: env:NAME, file:PATH or secret:NAME.';
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
COMMENT ON COLUMN posthorn.profiles.scope IS 'merchant: gets the merchant''s events; transaction: a template of the subscriptions that transactions bring.';
COMMENT ON COLUMN posthorn.profiles.emit IS 'every event, or only those that change the transaction''s status.';
COMMENT ON COLUMN posthorn.profiles.nested IS 'Objects and lists in nvp and query: dotted names, names with brackets, JSON text, or refuse (a posting error).';
COMMENT ON COLUMN posthorn.profiles.space IS 'How nvp and query write a space: + or %20.';
COMMENT ON COLUMN posthorn.profiles.charset IS 'Of nvp, query and xml, and named in the content type; unsaid: UTF-8, and not named.';
COMMENT ON COLUMN posthorn.profiles.xml_illegal IS 'Characters that XML cannot carry: replace by U+FFFD, or refuse (a posting error).';
COMMENT ON COLUMN posthorn.profiles.accept_encoding IS 'What Accept-Encoding says: identity (answers are not compressed), or none to leave it out.';
COMMENT ON COLUMN posthorn.profiles.id_header IS 'Header of the event''s id, or none.';
COMMENT ON COLUMN posthorn.profiles.timestamp_header IS 'Header of the attempt''s time in Unix seconds, or none.';
COMMENT ON COLUMN posthorn.profiles.attempt_header IS 'Header of the attempt''s number, or none.';
COMMENT ON COLUMN posthorn.profiles.user_agent IS 'The header user-agent; NULL: the engine''s own.';
COMMENT ON COLUMN posthorn.profiles.headers IS 'Further headers of every request: {"X-Shop": "7", "X-Key": "secret:NAME"}.';
COMMENT ON COLUMN posthorn.profiles.signing IS 'none, standard_webhooks or sensepass_hmac.';
COMMENT ON COLUMN posthorn.profiles.signing_secrets IS 'Where the signing keys are; all of them sign while one takes another''s place.';
COMMENT ON COLUMN posthorn.profiles.auth_secret_previous IS 'The credential that auth_secret takes the place of; tried where the new one is refused.';
COMMENT ON COLUMN posthorn.profiles.auth_header IS 'Header of an API key, whose secret is then the value alone; NULL: the secret is header:value, or a value for Authorization.';
COMMENT ON COLUMN posthorn.profiles.oauth2_token_url IS 'Where an OAuth2 access token is had.';
COMMENT ON COLUMN posthorn.profiles.oauth2_client_auth IS 'How client_id:client_secret travels to it: basic (a header) or body.';
COMMENT ON COLUMN posthorn.profiles.oauth2_scope IS 'The scope asked for, if any.';
COMMENT ON COLUMN posthorn.profiles.oauth2_audience IS 'The audience asked for, if any.';
COMMENT ON COLUMN posthorn.profiles.client_pkcs12 IS 'Client certificate and key in PKCS#12, in place of client_cert and client_key.';
COMMENT ON COLUMN posthorn.profiles.client_pkcs12_password IS 'Its password.';
COMMENT ON COLUMN posthorn.profiles.disable_statuses IS 'Statuses of an answer that disable the subscription, such as {410}.';
COMMENT ON COLUMN posthorn.profiles.labels IS 'What the vendor calls a state: {"posting_error": "posting error"}.';
COMMENT ON COLUMN posthorn.profiles.managed_by IS
    'sql: people own the row; file:NAME: the config file of that owner does; file: one that names none; builtin: it comes with Posthorn.';
COMMENT ON COLUMN posthorn.profiles.source_addresses IS 'Addresses of the worker''s machine, of which one of the receiver''s family is the sender''s; NULL: the system chooses.';
COMMENT ON COLUMN posthorn.profiles.proxy_pool IS 'The [[egress.proxy_pool]] of the worker''s configuration that connections go through; NULL: none.';

-- Here and for the locks LIKE takes the settings with their rules and comments: they exist once.
CREATE TABLE posthorn.subscriptions (
    id       uuid    NOT NULL DEFAULT posthorn.uuid_v7(),
    merchant text    NOT NULL CHECK (merchant <> ''),
    profile  text    REFERENCES posthorn.profiles (name) ON UPDATE CASCADE,
    enabled  boolean NOT NULL DEFAULT true,
    paused   boolean NOT NULL DEFAULT false,
    gone_at  timestamptz,
    LIKE posthorn.profiles INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING DEFAULTS,
    PRIMARY KEY (id),
    UNIQUE (merchant, name),
    CONSTRAINT subscriptions_are_not_builtin CHECK (managed_by <> 'builtin'),
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
COMMENT ON COLUMN posthorn.subscriptions.gone_at IS
    'When an answer of disable_statuses disabled it. SET gone_at = NULL, or a new url, enables it again.';
COMMENT ON COLUMN posthorn.subscriptions.managed_by IS 'sql: people own the row; file:NAME: the config file of that owner does; file: one that names none.';
CREATE INDEX subscriptions_revision ON posthorn.subscriptions (revision);
COMMENT ON INDEX posthorn.subscriptions_revision IS 'Finds what has changed since a revision.';
CREATE INDEX subscriptions_profile ON posthorn.subscriptions (profile);
COMMENT ON INDEX posthorn.subscriptions_profile IS 'Finds the subscriptions of a profile that is changed, renamed or deleted.';
-- The body of shard_of and not a call of it, as in posthorn.events: an index computes with the
-- rights of whoever changes a row. The id as text: a look-up by id has one index to choose.
DO $$
BEGIN
    EXECUTE format('CREATE INDEX subscriptions_shard ON posthorn.subscriptions ((%s), (id::text) COLLATE "C")',
                   substr(pg_get_function_sqlbody('posthorn.shard_of'::regproc), length('RETURN ')));
END $$;
COMMENT ON INDEX posthorn.subscriptions_shard IS 'Finds the subscriptions of a shard.';

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

-- Changes are counted.

-- The statement takes the next revision under the row's lock, so revisions commit in
-- their order and "revision > the last one seen" misses nothing.
CREATE FUNCTION posthorn.take_revision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE posthorn.config_revision SET revision = revision + 1;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.take_revision IS 'Trigger: counts the configuration''s changes.';
CREATE FUNCTION posthorn.stamp_revision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.revision := (SELECT c.revision FROM posthorn.config_revision c);
    NEW.updated_at := now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.stamp_revision IS 'Trigger: writes the change''s number into the row.';
CREATE FUNCTION posthorn.take_locks_revision() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE posthorn.config_revision SET revision = revision + 1, locks_revision = revision + 1;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.take_locks_revision IS 'Trigger: counts a change that can concern every subscription.';

CREATE TRIGGER take_revision BEFORE INSERT OR UPDATE ON posthorn.profiles
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_revision();
CREATE TRIGGER stamp_revision BEFORE INSERT OR UPDATE ON posthorn.profiles
    FOR EACH ROW EXECUTE FUNCTION posthorn.stamp_revision();
CREATE TRIGGER take_revision BEFORE INSERT OR UPDATE ON posthorn.subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_revision();
CREATE TRIGGER stamp_revision BEFORE INSERT OR UPDATE ON posthorn.subscriptions
    FOR EACH ROW EXECUTE FUNCTION posthorn.stamp_revision();
CREATE TRIGGER take_revision BEFORE INSERT OR UPDATE OR DELETE ON posthorn.locks
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_locks_revision();
CREATE TRIGGER stamp_revision BEFORE INSERT OR UPDATE ON posthorn.locks
    FOR EACH ROW EXECUTE FUNCTION posthorn.stamp_revision();

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

-- Rows have owners.

-- A change that the next apply would undo in silence is refused instead; but gone_at is the
-- engine's and people's, whoever manages the row. With a path, like every function here: whoever
-- changes a row by hand may have one that leads to functions of others, and
-- to_jsonb(posthorn.subscriptions) would be a better match than PostgreSQL's own.
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

-- Rows that end.

CREATE FUNCTION posthorn.refuse_delete() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'posthorn.% rows are kept, because deliveries name them', TG_TABLE_NAME
        USING HINT = 'UPDATE … SET enabled = false stops a subscription.';
END $$;
COMMENT ON FUNCTION posthorn.refuse_delete IS 'Trigger: keeps rows that the ledger names.';
CREATE TRIGGER refuse_delete BEFORE DELETE ON posthorn.subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.refuse_delete();

-- What is open belongs to the shard of its merchant, and nobody would take it up any more.
CREATE FUNCTION posthorn.refuse_move() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'a subscription stays with its merchant and its id, because deliveries name them'
        USING ERRCODE = 'check_violation',
              HINT = 'INSERT another one for the other merchant, and UPDATE … SET enabled = false stops this one.';
END $$;
COMMENT ON FUNCTION posthorn.refuse_move IS 'Trigger: keeps a subscription with the merchant whose deliveries it has.';
CREATE TRIGGER refuse_move BEFORE UPDATE OF id, merchant ON posthorn.subscriptions
    FOR EACH ROW WHEN ((NEW.id, NEW.merchant) IS DISTINCT FROM (OLD.id, OLD.merchant))
    EXECUTE FUNCTION posthorn.refuse_move();

-- An endpoint that answers that it is gone (disable_statuses, such as 410) disables its
-- subscription.
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
COMMENT ON TABLE posthorn.config_history IS 'Every version of subscriptions, profiles and locks, append-only.';
COMMENT ON COLUMN posthorn.config_history.kind IS 'subscription, profile or lock.';
COMMENT ON COLUMN posthorn.config_history.subject IS 'The subscription''s id, or the name.';
COMMENT ON COLUMN posthorn.config_history.revision IS 'From this configuration on.';
COMMENT ON COLUMN posthorn.config_history.changed_at IS 'When the change was about to be committed.';
COMMENT ON COLUMN posthorn.config_history.settings IS 'The row without its NULLs; NULL: it was deleted.';
COMMENT ON COLUMN posthorn.config_history.xid IS 'The transaction that changed it: what it published itself met the new settings.';
CREATE INDEX config_history_changed ON posthorn.config_history (changed_at);
COMMENT ON INDEX posthorn.config_history_changed IS 'Workers ask when the settings changed last.';

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
COMMENT ON FUNCTION posthorn.keep_deletion IS 'Trigger: adds to posthorn.config_history that a lock was deleted or has another name. A profile can be deleted only when no subscription has it, and leaves no such row.';

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
-- Under its old name a lock holds no longer.
CREATE TRIGGER keep_renaming AFTER UPDATE OF name ON posthorn.locks
    FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION posthorn.keep_deletion();

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

-- What a row is refused for, said with the setting's name and a remedy. A CHECK says neither, and
-- shows the whole row in its DETAIL, where a URL may hold a token.

-- Each table's rules are written into a function of its own: read from the catalog for each row,
-- they would cost milliseconds. A column's comment is its remedy. A later migration that adds a
-- rule writes the functions anew, or PostgreSQL's own words tell of it.
DO $$
DECLARE
    target regclass;
    rules  text;
BEGIN
    FOREACH target IN ARRAY ARRAY['posthorn.profiles', 'posthorn.subscriptions', 'posthorn.locks']::regclass[] LOOP
        SELECT string_agg(format('WHEN (%s) IS FALSE THEN %L', rule, name), E'\n' ORDER BY columns, name) INTO rules
          FROM (SELECT pg_get_expr(conbin, conrelid) AS rule, conname AS name, conkey AS columns
                  FROM pg_constraint WHERE conrelid = target AND contype = 'c'
                UNION ALL
                SELECT format('%I IS NOT NULL', attname), attname, ARRAY[attnum]
                  FROM pg_attribute WHERE attrelid = target AND attnum > 0 AND attnotnull) AS found;
        EXECUTE format($ddl$
CREATE FUNCTION posthorn.refuse_%1$s() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    broken text;
    field  text;
    remedy text;
BEGIN
    SELECT CASE %2$s END INTO broken FROM (SELECT NEW.*) AS given;
    IF broken IS NOT NULL THEN
        SELECT string_agg(attname, ' with ' ORDER BY attnum),
               string_agg(attname || ': ' || col_description(attrelid, attnum), ' ' ORDER BY attnum)
          INTO field, remedy
          FROM pg_attribute
         WHERE attrelid = TG_RELID AND attnum > 0
           AND (attname = broken OR attnum = ANY ((SELECT conkey FROM pg_constraint
                                                    WHERE conrelid = TG_RELID AND contype = 'c' AND conname = broken)::smallint[]));
        -- A rule that somebody has named says the reason.
        field := field || CASE WHEN broken = field OR broken ~ '_check[0-9]*$' THEN '' ELSE ' (' || broken || ')' END;
    ELSE
        SELECT s.field INTO field
          FROM (VALUES (1, 'success_statuses', NEW.success_statuses),
                       (2, 'give_up_statuses', NEW.give_up_statuses),
                       (3, 'disable_statuses', NEW.disable_statuses)) AS s (place, field, entries),
               unnest(s.entries) AS entry
               LEFT JOIN LATERAL regexp_match(entry, '^[[:space:]]*([1-5][0-9]{2})[[:space:]]*(?:-[[:space:]]*([1-5][0-9]{2})[[:space:]]*)?$') AS bounds ON true
         WHERE bounds IS NULL OR bounds[1] > bounds[2]
            OR s.place = 1 AND bounds[1] < '400' AND coalesce(bounds[2], bounds[1]) >= '300'
         ORDER BY s.place LIMIT 1;
        remedy := 'Give ranges such as 200-299 or statuses such as 204, within 100 to 599 and the lower first;'
               || ' redirects, 300 to 399, are not followed and never count as delivered.';
    END IF;
    IF field IS NULL AND EXISTS (
        SELECT FROM json_each(NEW.labels) AS label
         WHERE label.key <> ALL (enum_range(NULL::posthorn.delivery_state)::text[])
            OR json_typeof(label.value) <> 'string' OR trim(label.value #>> '{}') = '') THEN
        field := 'labels';
        remedy := 'Give the vendor''s words for states, such as {"posting_error": "posting error"}; the states are '
               || array_to_string(enum_range(NULL::posthorn.delivery_state), ', ') || '.';
    END IF;
    IF field IS NOT NULL THEN
        RAISE EXCEPTION 'posthorn.%1$s cannot take this value of %%', field
            USING HINT = remedy, ERRCODE = 'check_violation',
                  SCHEMA = 'posthorn', TABLE = '%1$s', COLUMN = field;
    END IF;
    RETURN NEW;
END $function$;
COMMENT ON FUNCTION posthorn.refuse_%1$s IS 'Trigger: tells which setting a row is refused for and what to do, without a value of it.';
        $ddl$, (SELECT relname FROM pg_class WHERE oid = target), rules);
    END LOOP;
END $$;

-- Settings that need one another. What a row lacks may be its profile's or a lock's, so it is a
-- subscription that is asked.
CREATE FUNCTION posthorn.refuse_unfinished() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given  jsonb;
    field  text;
    remedy text;
BEGIN
    given := coalesce((SELECT jsonb_strip_nulls(to_jsonb(p)) FROM posthorn.profiles p WHERE p.name = NEW.profile), '{}')
          || jsonb_strip_nulls(to_jsonb(NEW))
          || coalesce((SELECT jsonb_object_agg(setting.key, setting.value)
                         FROM posthorn.locks l, jsonb_each(jsonb_strip_nulls(to_jsonb(l))) AS setting
                        WHERE (l.merchant IS NULL OR l.merchant = NEW.merchant)
                          AND (l.profile IS NULL OR l.profile = NEW.profile)), '{}');
    SELECT r.field, r.remedy INTO field, remedy
      FROM (VALUES
        (1, given ->> 'auth' <> 'none' AND NOT given ? 'auth_secret', 'auth_secret',
            'auth needs it; give env:NAME, file:PATH or secret:NAME.'),
        (2, given ? 'auth_secret' AND NOT given ? 'auth', 'auth',
            'auth_secret is given; give basic, api_key or oauth2.'),
        (3, given ->> 'auth' = 'oauth2' AND NOT given ? 'oauth2_token_url', 'oauth2_token_url',
            'auth is oauth2; give the address that gives out tokens.'),
        (4, given ->> 'signing' <> 'none' AND NOT given ? 'signing_secrets', 'signing_secrets',
            'signing needs a key; give {env:NAME}, {file:PATH} or {secret:NAME}.'),
        (5, given ->> 'retry' = 'fixed' AND NOT given ? 'retry_interval', 'retry_interval',
            'retry is fixed; give the time between two attempts, such as 30 minutes.'),
        (6, given ->> 'retry' = 'list' AND NOT given ? 'retry_delays', 'retry_delays',
            'retry is list; give a delay for each retry, such as {1 minute,1 hour}.'))
        AS r (place, is_missing, field, remedy)
     WHERE r.is_missing ORDER BY r.place LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'posthorn.subscriptions needs %, which neither the row nor its profile has', field
            USING HINT = remedy, ERRCODE = 'check_violation',
                  SCHEMA = 'posthorn', TABLE = 'subscriptions', COLUMN = field;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION posthorn.refuse_unfinished IS 'Trigger: tells which setting a subscription lacks beside one that it has, and what to give.';

-- What posthorn.declare writes was looked at by Posthorn, in more ways than here. A change that is
-- not one of settings, such as disabling a row, is never refused for what else stands in the row.
DO $$
DECLARE
    given   text := $when$current_setting('posthorn.applying', true) IS DISTINCT FROM 'on'$when$;
    changed text := $when$to_jsonb(NEW) - '{enabled,paused,gone_at,managed_by,revision,updated_at}'::text[]
        IS DISTINCT FROM to_jsonb(OLD) - '{enabled,paused,gone_at,managed_by,revision,updated_at}'::text[]$when$;
    guard   record;
BEGIN
    FOR guard IN SELECT * FROM (VALUES
        ('refuse_profiles', 'profiles'), ('refuse_subscriptions', 'subscriptions'), ('refuse_locks', 'locks'),
        ('refuse_unfinished', 'subscriptions')) AS g (function, target) LOOP
        EXECUTE format('CREATE TRIGGER %1$I BEFORE INSERT ON posthorn.%2$I FOR EACH ROW
                        WHEN (%3$s) EXECUTE FUNCTION posthorn.%1$I()', guard.function, guard.target, given);
        EXECUTE format('CREATE TRIGGER %1$I BEFORE UPDATE ON posthorn.%2$I FOR EACH ROW
                        WHEN (%3$s AND %4$s) EXECUTE FUNCTION posthorn.%5$I()',
                       guard.function || '_changed', guard.target, given, changed, guard.function);
    END LOOP;
END $$;
