-- Who may ask the gateway: merchants, by tokens that live until they are revoked, and whoever
-- was given a session token, for one transaction or one device.

CREATE TABLE posthorn.gateway_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint  NOT NULL DEFAULT 0
);
COMMENT ON TABLE posthorn.gateway_revision IS 'One row: gateways keep the tokens they have seen until it changes.';
COMMENT ON COLUMN posthorn.gateway_revision.only_row IS 'Keeps the table at one row.';
COMMENT ON COLUMN posthorn.gateway_revision.revision IS 'Grows with every statement that changes or deletes a token.';
INSERT INTO posthorn.gateway_revision DEFAULT VALUES;

-- 244 bits of the server's strong randomness, in characters that need no escape in a URL, a
-- header or a form.
CREATE FUNCTION posthorn.new_token(prefix text) RETURNS text
    LANGUAGE sql VOLATILE
    RETURN prefix || translate(encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
                                      'base64'), '+/=', '-_');
COMMENT ON FUNCTION posthorn.new_token IS 'A fresh token that nobody guesses.';

-- One plain SHA-256: a slow hash protects what people choose, and nobody finds 244 random
-- bits again by trying.
CREATE FUNCTION posthorn.token_hash(token text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN sha256(convert_to(token, 'UTF8'));
COMMENT ON FUNCTION posthorn.token_hash IS 'What is kept of a token.';

CREATE TABLE posthorn.api_tokens (
    token_hash bytea       NOT NULL CHECK (octet_length(token_hash) = 32),
    merchant   text        NOT NULL CHECK (octet_length(merchant) BETWEEN 1 AND 1000),
    name       text        NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (token_hash),
    UNIQUE (merchant, name)
);
COMMENT ON TABLE posthorn.api_tokens IS 'Bearer tokens of merchants: each reads everything of its merchant.';
COMMENT ON COLUMN posthorn.api_tokens.token_hash IS 'posthorn.token_hash of the token, which itself is kept nowhere.';
COMMENT ON COLUMN posthorn.api_tokens.merchant IS 'Whose events and transactions it reads.';
COMMENT ON COLUMN posthorn.api_tokens.name IS 'Unique within the merchant, for people.';
COMMENT ON COLUMN posthorn.api_tokens.created_at IS 'When it was issued.';
COMMENT ON COLUMN posthorn.api_tokens.expires_at IS 'From then on it opens nothing; NULL: never by itself.';
COMMENT ON COLUMN posthorn.api_tokens.revoked_at IS 'When it was revoked; it opens nothing any more.';

CREATE TABLE posthorn.sessions (
    token_hash     bytea       NOT NULL CHECK (octet_length(token_hash) = 32),
    merchant       text        NOT NULL CHECK (octet_length(merchant) BETWEEN 1 AND 1000),
    transaction_id text        CHECK (octet_length(transaction_id) BETWEEN 1 AND 1000),
    device         text        CHECK (octet_length(device) BETWEEN 1 AND 1000),
    complete_on    text[]      CHECK (array_position(complete_on, NULL) IS NULL),
    complete_as    text        NOT NULL DEFAULT 'complete' CHECK (complete_as ~ '^[A-Za-z_]{1,40}$'),
    issued_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (token_hash),
    CONSTRAINT sessions_is_of_a_transaction_or_a_device CHECK (num_nonnulls(transaction_id, device) = 1),
    CONSTRAINT sessions_lives_for_a_year_at_most
        CHECK (expires_at > issued_at AND expires_at <= issued_at + interval '366 days')
);
COMMENT ON TABLE posthorn.sessions IS 'Session tokens: each reads one transaction, or the events of one device.';
COMMENT ON COLUMN posthorn.sessions.token_hash IS 'posthorn.token_hash of the token, which itself is kept nowhere.';
COMMENT ON COLUMN posthorn.sessions.merchant IS 'Whose transaction or device it is.';
COMMENT ON COLUMN posthorn.sessions.transaction_id IS 'The one transaction that it reads.';
COMMENT ON COLUMN posthorn.sessions.device IS 'The device whose events it reads: those that have it where [gateway] device points.';
COMMENT ON COLUMN posthorn.sessions.complete_on IS 'Patterns of the statuses that complete it, * for any run of characters; NULL: any.';
COMMENT ON COLUMN posthorn.sessions.complete_as IS 'What the client is told once the transaction is complete.';
COMMENT ON COLUMN posthorn.sessions.issued_at IS 'When it was issued.';
COMMENT ON COLUMN posthorn.sessions.expires_at IS 'EXPIRED from then on, unless the transaction was complete before.';
CREATE INDEX sessions_expiry ON posthorn.sessions (expires_at);
COMMENT ON INDEX posthorn.sessions_expiry IS 'Maintenance finds by it what can go.';

CREATE FUNCTION posthorn.take_gateway_revision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE posthorn.gateway_revision SET revision = revision + 1;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.take_gateway_revision IS 'Trigger: makes gateways forget the tokens they keep.';
CREATE TRIGGER take_gateway_revision AFTER UPDATE OR DELETE OR TRUNCATE ON posthorn.api_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_gateway_revision();
CREATE TRIGGER take_gateway_revision AFTER UPDATE OR DELETE OR TRUNCATE ON posthorn.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.take_gateway_revision();

-- With the owner's rights, so that a publisher can issue sessions without any right to the
-- table. Parameters are numbered: a column of the same name would be ambiguous.
CREATE FUNCTION posthorn.issue_session(
    merchant text, transaction_id text, lifetime interval DEFAULT '15 minutes',
    complete_on text[] DEFAULT NULL, complete_as text DEFAULT 'complete'
) RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    token text := posthorn.new_token('phs_');
BEGIN
    INSERT INTO posthorn.sessions (token_hash, merchant, transaction_id, complete_on, complete_as, expires_at)
    VALUES (posthorn.token_hash(token), $1, $2, $4, coalesce($5, 'complete'),
            clock_timestamp() + coalesce($3, interval '15 minutes'));
    RETURN token;
END $$;
COMMENT ON FUNCTION posthorn.issue_session IS
    'Issues a session token for one transaction, which need not exist yet; returns it this one time.';

CREATE FUNCTION posthorn.issue_device_session(
    merchant text, device text, lifetime interval DEFAULT '1 day'
) RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    token text := posthorn.new_token('phs_');
BEGIN
    INSERT INTO posthorn.sessions (token_hash, merchant, device, expires_at)
    VALUES (posthorn.token_hash(token), $1, $2, clock_timestamp() + coalesce($3, interval '1 day'));
    RETURN token;
END $$;
COMMENT ON FUNCTION posthorn.issue_device_session IS
    'Issues a session token for the events of one device; returns it this one time.';

CREATE FUNCTION posthorn.issue_token(merchant text, name text, lifetime interval DEFAULT NULL)
    RETURNS text LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    token text := posthorn.new_token('pht_');
BEGIN
    INSERT INTO posthorn.api_tokens (token_hash, merchant, name, expires_at)
    VALUES (posthorn.token_hash(token), $1, $2, now() + $3);
    RETURN token;
END $$;
COMMENT ON FUNCTION posthorn.issue_token IS
    'Issues an API token of a merchant; returns it this one time.';

CREATE FUNCTION posthorn.revoke_token(merchant text, name text)
    RETURNS boolean LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE posthorn.api_tokens t SET revoked_at = now()
     WHERE t.merchant = $1 AND t.name = $2 AND t.revoked_at IS NULL;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION posthorn.revoke_token IS
    'Revokes an API token within moments; false where there is none of this name.';

-- An hour longer than it lives: whoever was told "complete" in the last moment still fetches
-- the details.
CREATE FUNCTION posthorn.drop_sessions() RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped bigint;
BEGIN
    -- No statement where there is nothing to do: it would make gateways forget.
    IF NOT EXISTS (SELECT FROM posthorn.sessions WHERE expires_at < now() - interval '1 hour') THEN
        RETURN 0;
    END IF;
    DELETE FROM posthorn.sessions WHERE expires_at < now() - interval '1 hour';
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION posthorn.drop_sessions IS 'Deletes the sessions that ended over an hour ago; returns how many.';
