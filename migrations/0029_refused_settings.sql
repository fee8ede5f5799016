-- What a row of settings is refused for, said with the setting's name and a remedy. A CHECK says
-- neither, and shows the whole row in its DETAIL, where a URL may hold a token.

-- Each table's rules are written into a function of its own: read from the catalog for each row,
-- they would cost milliseconds. A column's comment is its remedy. A later migration that adds a
-- rule writes the functions anew, or PostgreSQL's own words tell of it.
DO $$
DECLARE
    target regclass;
    rules  text;
BEGIN
    FOREACH target IN ARRAY ARRAY['posthorn.profiles', 'posthorn.subscriptions', 'posthorn.locks']::regclass[] LOOP
        SELECT string_agg(format('WHEN (%s) IS FALSE THEN %L', rule, name), E'\n' ORDER BY columns) INTO rules
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
