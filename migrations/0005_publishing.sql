-- The way in for a provider that prefers a call to an INSERT: posthorn.publish, for values of any
-- type. And subscriptions of one transaction: addresses that a transaction brings with it, which get
-- its events beside the merchant's subscriptions. A subscription with scope = 'transaction' is the
-- template that lends them everything else.

-- Without a foreign key to the template: its rows are never deleted, and the check would
-- lock one template's row for each of a million transactions.
CREATE TABLE posthorn.transaction_subscriptions (
    id             uuid        NOT NULL DEFAULT posthorn.uuid_v7(),
    template_id    uuid        NOT NULL,
    merchant       text        NOT NULL CHECK (octet_length(merchant) BETWEEN 1 AND 1000),
    transaction_id text        NOT NULL CHECK (octet_length(transaction_id) BETWEEN 1 AND 1000),
    -- As the customer wrote them: what cannot be used is told by the delivery, and never
    -- fails the provider's transaction. What is cut off here is too long to be used.
    url            text        CHECK (char_length(url) <= 65535),
    method         text        CHECK (char_length(method) <= 64),
    success_body   text        CHECK (char_length(success_body) <= 65536),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz,
    PRIMARY KEY (id)
);
COMMENT ON TABLE posthorn.transaction_subscriptions IS 'Where single transactions want their events sent, beside the merchant''s subscriptions.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.id IS 'Deliveries and attempts name it as their subscription_id.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.template_id IS 'The subscription whose settings, credentials and lane it has.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.merchant IS 'Whose transaction it is.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.transaction_id IS 'Whose events it gets.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.url IS 'Where to send; NULL: the template''s.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.method IS 'POST or GET; NULL: the template''s.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.success_body IS 'Text that the answer''s body must be; NULL: the template''s.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.created_at IS 'It gets the events from then on, the one that brought it included.';
COMMENT ON COLUMN posthorn.transaction_subscriptions.ended_at IS 'When its endpoint said that it is gone (disable_statuses), or people ended it; nothing is sent after that.';
CREATE UNIQUE INDEX transaction_subscriptions_transaction
    ON posthorn.transaction_subscriptions (merchant, transaction_id, template_id,
        hashtextextended(coalesce('url ' || url, '') || coalesce(' method ' || method, '') || coalesce(' success ' || success_body, ''), 0));
COMMENT ON INDEX posthorn.transaction_subscriptions_transaction IS
    'The feed looks the transactions of a page up by it; and one that is published twice is one.';

CREATE FUNCTION posthorn.templates_of(merchant text)
    RETURNS TABLE (id uuid, name text, method text, enabled boolean)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id, s.name, coalesce(l.method, s.method, p.method, 'POST'), s.enabled
      FROM posthorn.subscriptions s
      LEFT JOIN posthorn.profiles p ON p.name = s.profile
     CROSS JOIN LATERAL (
           SELECT (array_agg(k.scope ORDER BY k.merchant IS NULL, k.profile IS NULL, k.name)
                       FILTER (WHERE k.scope IS NOT NULL))[1] AS scope,
                  (array_agg(k.method ORDER BY k.merchant IS NULL, k.profile IS NULL, k.name)
                       FILTER (WHERE k.method IS NOT NULL))[1] AS method
             FROM posthorn.locks k
            WHERE (k.merchant IS NULL OR k.merchant = s.merchant)
              AND (k.profile IS NULL OR k.profile = s.profile)) AS l
     WHERE s.merchant = $1 AND coalesce(l.scope, s.scope, p.scope) = 'transaction'
$$;
COMMENT ON FUNCTION posthorn.templates_of IS 'The merchant''s subscriptions of scope transaction, by lock, subscription and profile.';

-- One that is disabled is taken where no other is there: that an operator disabled a
-- template must not fail a publisher's transaction.
CREATE FUNCTION posthorn.template_for(merchant text, template text, method text) RETURNS uuid
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    candidates uuid[];
    names      text;
    fitting    uuid[];
BEGIN
    SELECT array_agg(t.id ORDER BY t.name), string_agg(quote_literal(t.name), ', ' ORDER BY t.name),
           array_agg(t.id) FILTER (WHERE t.method = coalesce($3, 'POST'))
      INTO candidates, names, fitting
      FROM (SELECT o.*, o.enabled OR NOT bool_or(o.enabled) OVER () AS preferred
              FROM posthorn.templates_of($1) o) AS t
     WHERE CASE WHEN $2 IS NULL THEN t.preferred ELSE t.name = $2 END;
    IF candidates IS NULL THEN
        RAISE EXCEPTION 'merchant % has no subscription % scope = "transaction"',
                quote_literal($1), CASE WHEN $2 IS NULL THEN 'with' ELSE quote_literal($2) || ' with' END
            USING ERRCODE = 'undefined_object',
                  HINT = 'Make the template first: INSERT INTO posthorn.subscriptions (merchant, name, scope) VALUES (…, …, ''transaction'').';
    -- A method that is none is told by the delivery, wherever it goes.
    ELSIF cardinality(candidates) = 1 OR $3 NOT IN ('POST', 'GET') THEN
        RETURN candidates[1];
    ELSIF cardinality(fitting) = 1 THEN
        RETURN fitting[1];
    END IF;
    RAISE EXCEPTION 'merchant % has several subscriptions with scope = "transaction", and not just one of them has method %',
            quote_literal($1), coalesce($3, 'POST')
        USING ERRCODE = 'ambiguous_alias',
              HINT = 'Name one as "template"; there are ' || names || '.';
END $$;
COMMENT ON FUNCTION posthorn.template_for IS 'The template that is named, or the only one, or the only one of a method.';

CREATE FUNCTION posthorn.read_endpoint(
    given json, OUT template text, OUT url text, OUT method text, OUT success_body text
) LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    it json;
BEGIN
    it := (SELECT json_object_agg(lower(e.key), e.value) FROM json_each(given) e);
    template := it ->> 'template';
    -- A URL with a user name or password cannot be used; the delivery says so, and who may look
    -- into the table sees neither.
    url := left(regexp_replace(coalesce(it ->> 'url', it ->> 'callbackurl'),
                               '^([A-Za-z]+://)[^/?#]*@', E'\\1***@'), 65535);
    method := left(upper(coalesce(it ->> 'method', it ->> 'callbackmethod',
        CASE lower(it ->> 'type')
            WHEN 'subscribetostatuschangenotificationsbypost' THEN 'POST'
            WHEN 'subscribetostatuschangenotificationsbyget' THEN 'GET'
            ELSE it ->> 'type'
        END)), 64);
    -- AlphaTrust: settings between semicolons, of which the operator sets all others.
    success_body := left(nullif(btrim(coalesce(it ->> 'success_body',
        (regexp_match(it ->> 'data', '(?:^|;)[[:space:]]*required-response-text[[:space:]]*=([^;]*)', 'i'))[1])), ''), 65536);
EXCEPTION WHEN data_exception THEN
    -- JSON can name characters that no text here holds, such as \u0000.
    template := NULL;
    url := '';
    method := NULL;
    success_body := NULL;
END $$;
COMMENT ON FUNCTION posthorn.read_endpoint IS
    'Reads {"template"?, "url", "method"?, "success_body"?}, AlphaTrust''s {"Type", "Data", "Url"} or SensePass''s {"callbackURL", "callbackMethod"?}, with keys in letters of any case; refuses nothing.';

-- The keys are the provider's code's: one that nobody reads would be a setting that silently
-- does not hold, such as GET for POST. What stands under them is the customer's.
CREATE FUNCTION posthorn.refuse_unread_keys(given json) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys   text[];
    unread text;
    twice  text;
BEGIN
    BEGIN
        keys := ARRAY(SELECT json_object_keys(given));
    EXCEPTION WHEN data_exception THEN
        -- What no text here holds, such as \u0000, is told by the delivery.
        RETURN;
    END;
    SELECT string_agg(quote_literal(left(k.key, 40)), ', ' ORDER BY k.key) INTO unread
      FROM unnest(keys) AS k (key)
     WHERE lower(k.key) NOT IN ('template', 'url', 'callbackurl', 'method', 'callbackmethod', 'type',
                                'success_body', 'data');
    IF unread IS NOT NULL THEN
        RAISE EXCEPTION 'an entry of subscriptions has keys that are not known: %', unread
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give template, url, method and success_body; or Type, Data and Url; or callbackURL and callbackMethod.';
    END IF;
    SELECT string_agg(quote_literal(left(k.key, 40)), ', ' ORDER BY k.key) INTO twice
      FROM unnest(keys) AS k (key)
     GROUP BY CASE lower(k.key) WHEN 'callbackurl' THEN 'url' WHEN 'callbackmethod' THEN 'method'
                                WHEN 'type' THEN 'method' WHEN 'data' THEN 'success_body'
                                ELSE lower(k.key) END
    HAVING count(*) > 1
     LIMIT 1;
    IF twice IS NOT NULL THEN
        RAISE EXCEPTION 'an entry of subscriptions says the same thing twice: %', twice
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give one of the keys.';
    END IF;
END $$;
COMMENT ON FUNCTION posthorn.refuse_unread_keys IS
    'Raises an error that names the keys of a transaction''s subscription that would not be read, or that say one thing twice.';

CREATE FUNCTION posthorn.add_transaction_subscriptions(
    merchant text, transaction_id text, subscriptions json, since timestamptz
) RETURNS int LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given    json := CASE json_typeof(subscriptions) WHEN 'object' THEN json_build_array(subscriptions)
                                                     WHEN 'null' THEN '[]' ELSE subscriptions END;
    entry    json;
    endpoint record;
    made     int := 0;
    new      int;
BEGIN
    IF json_typeof(given) <> 'array' THEN
        RAISE EXCEPTION 'subscriptions is a JSON %; give an object or a list of objects, such as [{"url": "https://…"}]', json_typeof(given)
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF json_array_length(given) > 100 THEN
        RAISE EXCEPTION 'subscriptions has % entries; give at most 100', json_array_length(given)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR entry IN SELECT value FROM json_array_elements(given) LOOP
        IF json_typeof(entry) <> 'object' THEN
            RAISE EXCEPTION 'an entry of subscriptions is a JSON %; give objects, such as {"url": "https://…"}', json_typeof(entry)
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        PERFORM posthorn.refuse_unread_keys(entry);
        endpoint := posthorn.read_endpoint(entry);
        INSERT INTO posthorn.transaction_subscriptions
               (template_id, merchant, transaction_id, url, method, success_body, created_at)
        VALUES (posthorn.template_for($1, endpoint.template, endpoint.method), $1, $2,
                endpoint.url, endpoint.method, endpoint.success_body, $4)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS new = ROW_COUNT;
        made := made + new;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION posthorn.add_transaction_subscriptions IS 'What publish and subscribe_transaction do; returns how many are new.';

-- With the owner's rights, so that it can return the id to a role that may insert but
-- not read. Its search_path holds for the column defaults and triggers of the INSERT too.
-- The subscriptions have the event's own time: they get it, however the clock steps.
CREATE FUNCTION posthorn.publish(
    merchant text, kind text, transaction_id text, status text,
    data json DEFAULT '{}', subscriptions json DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_id   uuid;
    event_time timestamptz;
BEGIN
    INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING events.id, events.created_at INTO event_id, event_time;
    IF subscriptions IS NOT NULL THEN
        PERFORM posthorn.add_transaction_subscriptions($1, $3, $6, event_time);
    END IF;
    RETURN event_id;
END $$;
COMMENT ON FUNCTION posthorn.publish(text, text, text, text, json, json) IS
    'Appends an event in the caller''s transaction and returns its id; the same as INSERT INTO posthorn.events. The data is sent as it is written: what of it was made text of (times, floats) is the caller''s session''s. subscriptions: where this transaction wants this event and its later ones sent.';

-- What people have: ids as uuid or numbers, statuses as enumerated types, rows as jsonb. A
-- function for each combination, so that a call finds one whatever it has known types for, and a
-- text wherever it has none. They run with the caller's rights, for a cast to text can be anybody's.
DO $do$
DECLARE
    taken record;
BEGIN
    FOR taken IN
        SELECT m.type AS merchant, i.type AS id, s.type AS status, d.type AS data
          FROM unnest(ARRAY['text', 'uuid', 'bigint']) AS m (type),
               unnest(ARRAY['text', 'anycompatiblenonarray']) AS i (type),
               unnest(ARRAY['text', 'anynonarray']) AS s (type),
               unnest(ARRAY['json', 'jsonb', 'text']) AS d (type)
         WHERE (m.type, i.type, s.type, d.type) <> ('text', 'text', 'text', 'json')
    LOOP
        EXECUTE format(
            $f$CREATE FUNCTION posthorn.publish(
                   merchant %1$s, kind text, transaction_id %2$s, status %3$s, data %4$s%5$s, subscriptions json DEFAULT NULL
               ) RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
               AS 'BEGIN RETURN posthorn.publish($1::text, $2, $3::text, $4::text, $5::json, $6); END'$f$,
            taken.merchant, taken.id, taken.status, taken.data, CASE taken.data WHEN 'json' THEN $$ DEFAULT '{}'$$ END);
        EXECUTE format(
            $f$COMMENT ON FUNCTION posthorn.publish(%s, text, %s, %s, %s, json) IS
               'publish for values of other types, which it makes text of.'$f$,
            taken.merchant, taken.id, taken.status, taken.data);
    END LOOP;
END $do$;

CREATE FUNCTION posthorn.subscribe_transaction(merchant text, transaction_id text, subscriptions json)
    RETURNS int LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN posthorn.add_transaction_subscriptions($1, $2, $3, clock_timestamp());
END $$;
COMMENT ON FUNCTION posthorn.subscribe_transaction IS
    'Sends a transaction''s events from now on to further addresses; returns how many of them are new.';

CREATE FUNCTION posthorn.drop_transaction_subscriptions(keep_days int) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped bigint;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days is %; give 1 or more', keep_days;
    END IF;
    -- OFFSET 0 keeps it a look-up for each row that is old enough.
    DELETE FROM posthorn.transaction_subscriptions t
     WHERE t.id < posthorn.uuid_floor(now() - make_interval(days => keep_days))
       AND NOT EXISTS (
           SELECT FROM posthorn.events e
            WHERE e.transaction_id = t.transaction_id AND e.merchant = t.merchant OFFSET 0);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION posthorn.drop_transaction_subscriptions IS
    'Drops those that are older than keep_days and of whose transaction no event is left; returns how many.';
