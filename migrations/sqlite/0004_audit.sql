-- The audit log: rows that are chained by their hashes, without gaps. Nothing here is secret.

CREATE TABLE audit (
    position    INTEGER NOT NULL PRIMARY KEY,
    occurred_at INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    actor_name  TEXT,
    method      TEXT NOT NULL,
    action      TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    cause       TEXT,
    cluster_id  TEXT,
    object      TEXT,
    address     TEXT,
    request_id  TEXT,
    details     TEXT NOT NULL,
    previous    BLOB NOT NULL,
    hash        BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_cluster ON audit (cluster_id, position) WHERE cluster_id IS NOT NULL;

-- Where the chain begins (the last row that the janitor removed) and where it ends (the newest row).
CREATE TABLE audit_ends (
    which    TEXT NOT NULL PRIMARY KEY CHECK (which IN ('anchor', 'head')),
    position INTEGER NOT NULL,
    hash     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_ends (which, position, hash) VALUES ('anchor', 0, zeroblob(32)), ('head', 0, zeroblob(32));
