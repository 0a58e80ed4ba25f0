-- When each cluster was last asked what it can do, and how that went. What was found stands with the cluster.

CREATE TABLE clusters.discoveries (
    cluster_id   UUID PRIMARY KEY REFERENCES clusters.clusters (id) ON DELETE CASCADE,
    attempted_at TIMESTAMPTZ NOT NULL,
    outcome      VARCHAR(32) NOT NULL
);
