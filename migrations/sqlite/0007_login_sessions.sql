-- Sessions of browsers that signed in. Only the hash of a session's id is kept.

CREATE TABLE login_sessions (
    hash       BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    subject    TEXT NOT NULL,
    name       TEXT NOT NULL,
    groups     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
