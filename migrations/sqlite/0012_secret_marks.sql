-- Which version of a cluster's Secret on the hub was last told of, and a write of it that was begun: a Secret and what tells of
-- it cannot be written in one transaction, so what was not told of is found at the next start.

CREATE TABLE secret_marks (
    cluster_id TEXT PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
    version    TEXT,
    begun      TEXT
) STRICT, WITHOUT ROWID;
