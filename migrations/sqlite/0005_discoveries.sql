-- When each cluster was last asked what it can do, and how that went. What was found stands with the cluster.

CREATE TABLE discoveries (
    cluster_id   TEXT PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
    attempted_at INTEGER NOT NULL,
    outcome      TEXT NOT NULL CHECK (length(outcome) <= 32)
) STRICT, WITHOUT ROWID;
