-- Tokens of the API's callers. Only a token's hash is kept.

CREATE TABLE clusters.api_tokens (
    id         UUID PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    name       VARCHAR(64) NOT NULL,
    role       VARCHAR(20) NOT NULL,
    hash       BYTEA NOT NULL,
    scope      TEXT NOT NULL,
    created_by TEXT,

    CONSTRAINT valid_hash CHECK (length(hash) = 32),
    CONSTRAINT valid_role CHECK (role IN ('viewer', 'operator', 'admin'))
);
