-- Sessions of browsers that signed in. Only the hash of a session's id is kept.

CREATE TABLE clusters.login_sessions (
    hash       BYTEA PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    subject    TEXT NOT NULL,
    name       TEXT NOT NULL,
    groups     TEXT NOT NULL,

    CONSTRAINT valid_hash CHECK (length(hash) = 32)
);
