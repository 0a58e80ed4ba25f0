-- The audit log: rows that are chained by their hashes, without gaps. Nothing here is secret.

CREATE TABLE clusters.audit (
    position    BIGINT PRIMARY KEY,
    occurred_at TIMESTAMPTZ NOT NULL,
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
    previous    BYTEA NOT NULL,
    hash        BYTEA NOT NULL
);
CREATE INDEX audit_by_cluster ON clusters.audit (cluster_id, position) WHERE cluster_id IS NOT NULL;

-- Where the chain begins (the last row that the janitor removed) and where it ends (the newest row).
CREATE TABLE clusters.audit_ends (
    which    TEXT PRIMARY KEY,
    position BIGINT NOT NULL,
    hash     BYTEA NOT NULL,

    CONSTRAINT valid_which CHECK (which IN ('anchor', 'head'))
);
INSERT INTO clusters.audit_ends (which, position, hash) VALUES
    ('anchor', 0, decode(repeat('00', 32), 'hex')), ('head', 0, decode(repeat('00', 32), 'hex'));
