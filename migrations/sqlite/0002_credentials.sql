-- Sealed credentials of clusters, one row for each endpoint they open. Nothing here is secret without the key.

CREATE TABLE credentials (
    cluster_id TEXT NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('api_server', 'prometheus', 'tempo', 'loki')),
    auth_type  TEXT NOT NULL CHECK (auth_type IN ('KUBECONFIG', 'TOKEN', 'CERTIFICATE')),
    bound_to   TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    nonce      BLOB NOT NULL CHECK (length(nonce) = 12),
    sealed     BLOB NOT NULL,
    expires_at INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (cluster_id, kind)
) STRICT, WITHOUT ROWID;
