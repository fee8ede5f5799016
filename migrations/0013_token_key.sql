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
