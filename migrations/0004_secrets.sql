-- Credentials at rest, encrypted by the application: this table alone opens nothing.

CREATE TABLE posthorn.secrets (
    id         uuid        NOT NULL DEFAULT posthorn.uuid_v7() PRIMARY KEY,
    merchant   text        NOT NULL CHECK (merchant <> ''),
    name       text        NOT NULL CHECK (name <> ''),
    key_id     text        NOT NULL CHECK (key_id <> ''),
    nonce      bytea       NOT NULL,
    ciphertext bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (merchant, name)
);
COMMENT ON TABLE posthorn.secrets IS 'Encrypted credentials of merchants.';
COMMENT ON COLUMN posthorn.secrets.id IS 'Part of what the ciphertext is authenticated against.';
COMMENT ON COLUMN posthorn.secrets.merchant IS 'Whose credential it is.';
COMMENT ON COLUMN posthorn.secrets.name IS 'Unique within the merchant.';
COMMENT ON COLUMN posthorn.secrets.key_id IS 'Which key encrypted it.';
COMMENT ON COLUMN posthorn.secrets.nonce IS 'Of the authenticated encryption.';
COMMENT ON COLUMN posthorn.secrets.ciphertext IS 'The encrypted credential with its tag.';
COMMENT ON COLUMN posthorn.secrets.created_at IS 'When the row was made.';
