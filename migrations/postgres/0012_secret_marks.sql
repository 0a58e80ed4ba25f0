-- Which version of a cluster's Secret on the hub was last told of, and a write of it that was begun: a Secret and what tells of
-- it cannot be written in one transaction, so what was not told of is found at the next start.

CREATE TABLE clusters.secret_marks (
    cluster_id UUID PRIMARY KEY REFERENCES clusters.clusters (id) ON DELETE CASCADE,
    version    TEXT,
    begun      JSONB
);
