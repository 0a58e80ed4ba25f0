-- Tokens of the API's callers. Only a token's hash is kept.

CREATE TABLE api_tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    scope      TEXT NOT NULL,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
