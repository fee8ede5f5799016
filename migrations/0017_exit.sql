-- From where a subscription's connections come, for receivers that allow-list addresses.

DO $$
DECLARE
    target text;
BEGIN
    FOREACH target IN ARRAY ARRAY['profiles', 'subscriptions', 'locks'] LOOP
        EXECUTE format($ddl$
            ALTER TABLE posthorn.%1$I
                ADD COLUMN source_addresses text[] CHECK (cardinality(source_addresses) > 0
                                                      AND array_position(source_addresses, NULL) IS NULL),
                ADD COLUMN proxy_pool       text   CHECK (proxy_pool <> '');
            COMMENT ON COLUMN posthorn.%1$I.source_addresses IS 'Addresses of the worker''s machine, of which one of the receiver''s family is the sender''s; NULL: the system chooses.';
            COMMENT ON COLUMN posthorn.%1$I.proxy_pool IS 'The [[egress.proxy_pool]] of the worker''s configuration that connections go through; NULL: none.';
            $ddl$, target);
    END LOOP;
END $$;
