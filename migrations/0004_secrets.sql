-- What opens doors. Credentials of merchants are at rest as the application has encrypted them: the
-- table of secrets alone opens nothing. Subscriptions name them, and workers hear of it when one
-- changes. The key that makes security tokens stands as it is.

CREATE TABLE posthorn.secrets (
    id         uuid        NOT NULL DEFAULT posthorn.uuid_v7() PRIMARY KEY,
    merchant   text        NOT NULL CHECK (merchant <> ''),
    name       text        NOT NULL CHECK (name ~ '^[A-Za-z0-9._-]{1,128}$'),
    key_id     text        NOT NULL CHECK (key_id <> ''),
    nonce      bytea       NOT NULL CHECK (octet_length(nonce) = 12),
    -- The tag alone has 16 bytes.
    ciphertext bytea       NOT NULL CHECK (octet_length(ciphertext) BETWEEN 17 AND 1048592),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (merchant, name)
);
COMMENT ON TABLE posthorn.secrets IS 'Encrypted credentials of merchants.';
COMMENT ON COLUMN posthorn.secrets.id IS 'Part of what the ciphertext is authenticated against.';
COMMENT ON COLUMN posthorn.secrets.merchant IS 'Whose credential it is.';
COMMENT ON COLUMN posthorn.secrets.name IS 'Unique within the merchant, whose subscriptions name it as secret:NAME.';
COMMENT ON COLUMN posthorn.secrets.key_id IS 'Which key of [secrets] keys encrypted it.';
COMMENT ON COLUMN posthorn.secrets.nonce IS 'Of the authenticated encryption.';
COMMENT ON COLUMN posthorn.secrets.ciphertext IS 'The credential, encrypted with AES-256-GCM, with its tag; bound to id, merchant, name and key_id.';
COMMENT ON COLUMN posthorn.secrets.created_at IS 'When the row was made.';
COMMENT ON COLUMN posthorn.secrets.changed_at IS 'When the credential was given; encrypting it anew under another key leaves it as it is.';

-- A new value takes effect like any other change of the configuration: the merchant's
-- subscriptions get a new revision. The rows may be a file's, which says nothing of values.
-- As in posthorn.declare, set_config because a SET of the function would need a superuser.
CREATE FUNCTION posthorn.secret_changed() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    applying text := current_setting('posthorn.applying', true);
BEGIN
    PERFORM set_config('posthorn.applying', 'on', true);
    UPDATE posthorn.subscriptions SET revision = revision
     WHERE merchant = CASE TG_OP WHEN 'DELETE' THEN OLD.merchant ELSE NEW.merchant END;
    PERFORM set_config('posthorn.applying', coalesce(applying, ''), true);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION posthorn.secret_changed IS 'Trigger: makes workers load the merchant''s subscriptions anew.';
CREATE TRIGGER secret_made AFTER INSERT OR DELETE ON posthorn.secrets
    FOR EACH ROW EXECUTE FUNCTION posthorn.secret_changed();
CREATE TRIGGER secret_changed AFTER UPDATE ON posthorn.secrets
    FOR EACH ROW WHEN (OLD.changed_at IS DISTINCT FROM NEW.changed_at)
    EXECUTE FUNCTION posthorn.secret_changed();

-- After the revision was taken, whose row lock keeps changes of subscriptions waiting: no
-- subscription can name the secret between this look and the commit.
CREATE FUNCTION posthorn.refuse_named_secret() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reference jsonb := jsonb_build_object('it', 'secret:' || OLD.name);
    named     text;
BEGIN
    UPDATE posthorn.config_revision SET revision = revision + 1;
    SELECT string_agg(quote_ident(s.name), ', ' ORDER BY s.name) INTO named
      FROM posthorn.subscriptions s
     WHERE s.merchant = OLD.merchant
       AND (jsonb_path_exists(to_jsonb(s), '$.** ? (@ == $it)', reference)
            OR EXISTS (SELECT FROM posthorn.profiles p WHERE p.name = s.profile
                          AND jsonb_path_exists(to_jsonb(p), '$.** ? (@ == $it)', reference))
            OR EXISTS (SELECT FROM posthorn.locks l
                        WHERE coalesce(l.merchant = s.merchant, true)
                          AND (l.profile IS NULL OR l.profile IS NOT DISTINCT FROM s.profile)
                          AND jsonb_path_exists(to_jsonb(l), '$.** ? (@ == $it)', reference)));
    IF named IS NOT NULL THEN
        RAISE EXCEPTION 'secret:% of % is named by the subscriptions %', OLD.name, OLD.merchant, named
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Take it out of their settings, their profile''s and the locks'' first.';
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION posthorn.refuse_named_secret IS 'Trigger: keeps a secret that a subscription of its merchant names.';
CREATE TRIGGER refuse_named_secret BEFORE DELETE ON posthorn.secrets
    FOR EACH ROW EXECUTE FUNCTION posthorn.refuse_named_secret();

-- The key that makes the security tokens of deliveries. Whoever has it can make a token for
-- any transaction, so a viewer and a publisher have no right to it.
CREATE TABLE posthorn.token_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    key      bytea   NOT NULL CHECK (octet_length(key) = 32)
);
COMMENT ON TABLE posthorn.token_key IS 'One row: from this key, an event and a subscription each security token is made and checked.';
COMMENT ON COLUMN posthorn.token_key.only_row IS 'Keeps the table at one row.';
COMMENT ON COLUMN posthorn.token_key.key IS 'Of an HMAC-SHA256; with another key the tokens that were sent can no longer be checked.';
-- 244 bits of the server's strong randomness.
INSERT INTO posthorn.token_key (key) SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
