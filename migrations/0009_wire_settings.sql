-- Further settings of profiles and subscriptions: what the four source systems ask for.

DO $$
DECLARE
    target text;
BEGIN
    FOREACH target IN ARRAY ARRAY['profiles', 'subscriptions'] LOOP
        EXECUTE format($ddl$
            ALTER TABLE posthorn.%1$I
                ADD COLUMN scope                  text   CHECK (scope IN ('merchant', 'transaction')),
                ADD COLUMN emit                   text   CHECK (emit IN ('every', 'change')),
                ADD COLUMN nested                 text   CHECK (nested IN ('dotted', 'brackets', 'json', 'refuse')),
                ADD COLUMN space                  text   CHECK (space IN ('+', '%%20')),
                ADD COLUMN charset                text   CHECK (charset IN ('unsaid', 'utf-8', 'iso-8859-1', 'windows-1252')),
                ADD COLUMN xml_illegal            text   CHECK (xml_illegal IN ('replace', 'refuse')),
                ADD COLUMN accept_encoding        text   CHECK (accept_encoding IN ('identity', 'none')),
                ADD COLUMN id_header              text   CHECK (id_header ~ '^[!#$%%&''*+.^_`|~0-9A-Za-z-]+$'),
                ADD COLUMN timestamp_header       text   CHECK (timestamp_header ~ '^[!#$%%&''*+.^_`|~0-9A-Za-z-]+$'),
                ADD COLUMN attempt_header         text   CHECK (attempt_header ~ '^[!#$%%&''*+.^_`|~0-9A-Za-z-]+$'),
                ADD COLUMN user_agent             text   CHECK (user_agent ~ '^[ -~]*[!-~][ -~]*$'),
                ADD COLUMN headers                json   CHECK (json_typeof(headers) = 'object'),
                ADD COLUMN signing                text   CHECK (signing IN ('none', 'standard_webhooks', 'sensepass_hmac')),
                ADD COLUMN signing_secrets        text[] CHECK (cardinality(signing_secrets) BETWEEN 1 AND 10
                                                            AND array_to_string(signing_secrets, E'\n', '') ~ E'^((env|file|secret):[^\n]+(\n(?=.)|$))+$'),
                ADD COLUMN auth_secret_previous   text   CHECK (auth_secret_previous ~ '^(env|file|secret):.'),
                ADD COLUMN auth_header            text   CHECK (auth_header ~ '^[!#$%%&''*+.^_`|~0-9A-Za-z-]+$'),
                ADD COLUMN oauth2_token_url       text   CHECK (oauth2_token_url ~* '^https?://[^/?#]+')
                                                         CONSTRAINT oauth2_token_url_has_no_user_name_or_password CHECK (oauth2_token_url !~ '^[^/?#]*//[^/?#]*@'),
                ADD COLUMN oauth2_client_auth     text   CHECK (oauth2_client_auth IN ('basic', 'body')),
                ADD COLUMN oauth2_scope           text   CHECK (oauth2_scope <> ''),
                ADD COLUMN oauth2_audience        text   CHECK (oauth2_audience <> ''),
                ADD COLUMN client_pkcs12          text   CHECK (client_pkcs12 ~ '^(env|file|secret):.'),
                ADD COLUMN client_pkcs12_password text   CHECK (client_pkcs12_password ~ '^(env|file|secret):.'),
                ADD COLUMN disable_statuses       text[] CHECK (array_position(disable_statuses, NULL) IS NULL),
                ADD COLUMN labels                 json   CHECK (json_typeof(labels) = 'object'),
                DROP CONSTRAINT profiles_auth_check,
                DROP CONSTRAINT profiles_auth_secret_check,
                DROP CONSTRAINT profiles_client_cert_check,
                DROP CONSTRAINT profiles_client_key_check,
                DROP CONSTRAINT profiles_ca_cert_check,
                ADD CHECK (auth IN ('none', 'basic', 'api_key', 'oauth2')),
                ADD CHECK (auth_secret ~ '^(env|file|secret):.'),
                ADD CHECK (client_cert ~ '^(env|file|secret):.'),
                ADD CHECK (client_key ~ '^(env|file|secret):.'),
                ADD CHECK (ca_cert ~ '^(env|file|secret):.');

            -- An empty list used to mean "all" like NULL; now it means "none".
            UPDATE posthorn.%1$I SET kinds = nullif(kinds, '{}'), statuses = nullif(statuses, '{}')
             WHERE kinds = '{}' OR statuses = '{}';

            COMMENT ON COLUMN posthorn.%1$I.fields IS 'Ordered field map: [{"name", "source", "map"?, "format"?, "omit_when"?}]; NULL sends data as it is.';
            COMMENT ON COLUMN posthorn.%1$I.kinds IS 'Patterns of wanted kinds, * for any run of characters; NULL: all, empty: none.';
            COMMENT ON COLUMN posthorn.%1$I.statuses IS 'Patterns of wanted statuses; NULL: all, empty: none.';
            COMMENT ON COLUMN posthorn.%1$I.auth IS 'none, basic, api_key or oauth2.';
            COMMENT ON COLUMN posthorn.%1$I.auth_secret IS 'Where the worker finds the credential: env:NAME, file:PATH or secret:NAME.';
            COMMENT ON COLUMN posthorn.%1$I.client_cert IS 'Client certificate chain, PEM: env:NAME, file:PATH or secret:NAME.';
            COMMENT ON COLUMN posthorn.%1$I.client_key IS 'Its private key, PEM: env:NAME, file:PATH or secret:NAME.';
            COMMENT ON COLUMN posthorn.%1$I.ca_cert IS 'Further root certificates for this endpoint alone, PEM: env:NAME, file:PATH or secret:NAME.';
            COMMENT ON COLUMN posthorn.%1$I.scope IS 'merchant: gets the merchant''s events; transaction: a template of the subscriptions that transactions bring.';
            COMMENT ON COLUMN posthorn.%1$I.emit IS 'every event, or only those that change the transaction''s status.';
            COMMENT ON COLUMN posthorn.%1$I.nested IS 'Objects and lists in nvp and query: dotted names, names with brackets, JSON text, or refuse (a posting error).';
            COMMENT ON COLUMN posthorn.%1$I.space IS 'How nvp and query write a space: + or %%20.';
            COMMENT ON COLUMN posthorn.%1$I.charset IS 'Of nvp, query and xml, and named in the content type; unsaid: UTF-8, and not named.';
            COMMENT ON COLUMN posthorn.%1$I.xml_illegal IS 'Characters that XML cannot carry: replace by U+FFFD, or refuse (a posting error).';
            COMMENT ON COLUMN posthorn.%1$I.accept_encoding IS 'What Accept-Encoding says: identity (answers are not compressed), or none to leave it out.';
            COMMENT ON COLUMN posthorn.%1$I.id_header IS 'Header of the event''s id, or none.';
            COMMENT ON COLUMN posthorn.%1$I.timestamp_header IS 'Header of the attempt''s time in Unix seconds, or none.';
            COMMENT ON COLUMN posthorn.%1$I.attempt_header IS 'Header of the attempt''s number, or none.';
            COMMENT ON COLUMN posthorn.%1$I.user_agent IS 'The header user-agent; NULL: the engine''s own.';
            COMMENT ON COLUMN posthorn.%1$I.headers IS 'Further headers of every request: {"X-Shop": "7", "X-Key": "secret:NAME"}.';
            COMMENT ON COLUMN posthorn.%1$I.signing IS 'none, standard_webhooks or sensepass_hmac.';
            COMMENT ON COLUMN posthorn.%1$I.signing_secrets IS 'Where the signing keys are; all of them sign while one takes another''s place.';
            COMMENT ON COLUMN posthorn.%1$I.auth_secret_previous IS 'The credential that auth_secret takes the place of; tried where the new one is refused.';
            COMMENT ON COLUMN posthorn.%1$I.auth_header IS 'Header of an API key, whose secret is then the value alone; NULL: the secret is header:value, or a value for Authorization.';
            COMMENT ON COLUMN posthorn.%1$I.oauth2_token_url IS 'Where an OAuth2 access token is had.';
            COMMENT ON COLUMN posthorn.%1$I.oauth2_client_auth IS 'How client_id:client_secret travels to it: basic (a header) or body.';
            COMMENT ON COLUMN posthorn.%1$I.oauth2_scope IS 'The scope asked for, if any.';
            COMMENT ON COLUMN posthorn.%1$I.oauth2_audience IS 'The audience asked for, if any.';
            COMMENT ON COLUMN posthorn.%1$I.client_pkcs12 IS 'Client certificate and key in PKCS#12, in place of client_cert and client_key.';
            COMMENT ON COLUMN posthorn.%1$I.client_pkcs12_password IS 'Its password.';
            COMMENT ON COLUMN posthorn.%1$I.disable_statuses IS 'Statuses of an answer that disable the subscription, such as {410}.';
            COMMENT ON COLUMN posthorn.%1$I.labels IS 'What the vendor calls a state: {"posting_error": "posting error"}.';
            $ddl$, target);
    END LOOP;
END $$;
