-- The roll, its status, the history and the event log, all in schema `clusters` (made before the first migration).

CREATE TABLE clusters.clusters (
    id               UUID PRIMARY KEY,
    name             VARCHAR(63) NOT NULL,
    display_name     VARCHAR(128),
    api_server_url   VARCHAR(512) NOT NULL,
    cluster_type     VARCHAR(20) NOT NULL,
    platform         VARCHAR(20) NOT NULL,
    platform_version VARCHAR(64),
    region           VARCHAR(64),
    environment      VARCHAR(20) NOT NULL,
    labels           JSONB NOT NULL,
    endpoints        JSONB NOT NULL,
    ca_bundle        TEXT,
    tls_server_name  TEXT,
    health_check     JSONB NOT NULL,
    capabilities     JSONB,
    generation       BIGINT NOT NULL,
    created_by       TEXT,
    created_at       TIMESTAMPTZ NOT NULL,
    updated_at       TIMESTAMPTZ NOT NULL,

    CONSTRAINT unique_name UNIQUE (name),
    CONSTRAINT valid_name CHECK (name ~ '^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$'),
    CONSTRAINT valid_cluster_type CHECK (cluster_type IN ('HUB', 'SPOKE', 'EDGE', 'FAR_EDGE')),
    CONSTRAINT valid_platform CHECK (platform IN ('OPENSHIFT', 'KUBERNETES', 'MICROSHIFT')),
    CONSTRAINT valid_environment CHECK (environment IN ('PRODUCTION', 'STAGING', 'DEVELOPMENT', 'LAB'))
);

-- The engine reads from memory; these serve people and reports.
CREATE INDEX idx_clusters_cluster_type ON clusters.clusters (cluster_type);
CREATE INDEX idx_clusters_environment ON clusters.clusters (environment);
CREATE INDEX idx_clusters_region ON clusters.clusters (region);
CREATE INDEX idx_clusters_labels ON clusters.clusters USING GIN (labels);
CREATE INDEX idx_clusters_capabilities_gpu ON clusters.clusters ((capabilities ->> 'has_gpu_nodes'));

-- What is written most: apart from the roll, without an index besides its key and with half of every page free, so that
-- even a flush of the whole fleet finds room for the new version of a row beside the old one and touches no index
-- (measured when all rows of a page are written at once: 82 % of the writes stayed in their page at 70, 95 % at 50).
CREATE TABLE clusters.cluster_status (
    cluster_id          UUID PRIMARY KEY REFERENCES clusters.clusters (id) ON DELETE CASCADE,
    version             BIGINT NOT NULL,
    -- Sequence of the cluster's last event: outlives the events that the janitor removes.
    event_sequence      BIGINT NOT NULL DEFAULT 0,
    observed_generation BIGINT NOT NULL,
    since               TIMESTAMPTZ NOT NULL,
    last_check_at       TIMESTAMPTZ,
    last_success_at     TIMESTAMPTZ,
    latency_ms          BIGINT,
    health_score        SMALLINT NOT NULL,
    connected           BOOLEAN NOT NULL,
    flapping            BOOLEAN NOT NULL,
    held                BOOLEAN NOT NULL,
    state               VARCHAR(20) NOT NULL,
    findings            JSONB NOT NULL,
    memory              JSONB NOT NULL,

    CONSTRAINT valid_state CHECK (state IN ('UNKNOWN', 'ONLINE', 'DEGRADED', 'OFFLINE')),
    CONSTRAINT valid_health_score CHECK (health_score BETWEEN 0 AND 100)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);

CREATE TABLE clusters.transitions (
    event_id     UUID PRIMARY KEY,
    cluster_id   UUID NOT NULL REFERENCES clusters.clusters (id) ON DELETE CASCADE,
    occurred_at  TIMESTAMPTZ NOT NULL,
    health_score SMALLINT NOT NULL,
    old_state    VARCHAR(20) NOT NULL,
    new_state    VARCHAR(20) NOT NULL,
    reason       TEXT NOT NULL,
    message      TEXT,
    evidence     JSONB NOT NULL
);
CREATE INDEX idx_transitions_cluster_time ON clusters.transitions (cluster_id, occurred_at DESC);
-- Rows arrive in the order of time: a few kilobytes of BRIN lead the janitor to the oldest.
CREATE INDEX idx_transitions_time ON clusters.transitions USING BRIN (occurred_at) WITH (pages_per_range = 32);

-- Checks of one cluster in one five-minute window, as far as one run of the process saw them.
CREATE TABLE clusters.rollups (
    cluster_id      UUID NOT NULL REFERENCES clusters.clusters (id) ON DELETE CASCADE,
    started_at      TIMESTAMPTZ NOT NULL,
    run             BIGINT NOT NULL,
    latency_mean_ms DOUBLE PRECISION NOT NULL,
    latency_min_ms  BIGINT NOT NULL,
    latency_max_ms  BIGINT NOT NULL,
    latency_p95_ms  BIGINT NOT NULL,
    checks          BIGINT NOT NULL,
    failures        BIGINT NOT NULL,
    PRIMARY KEY (cluster_id, started_at, run)
);
CREATE INDEX idx_rollups_time ON clusters.rollups USING BRIN (started_at) WITH (pages_per_range = 32);

-- The event log. Outlives the clusters that it tells of, so it references none. The payload is kept as it was written.
CREATE TABLE clusters.events (
    position    BIGINT PRIMARY KEY,
    event_id    UUID NOT NULL,
    cluster_id  UUID NOT NULL,
    sequence    BIGINT NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    event_type  VARCHAR(64) NOT NULL,
    payload     TEXT NOT NULL,

    CONSTRAINT unique_event UNIQUE (event_id),
    CONSTRAINT unique_sequence UNIQUE (cluster_id, sequence),
    CONSTRAINT valid_sequence CHECK (sequence > 0)
);

-- Time in which nothing was observed; the nil cluster is the whole fleet.
CREATE TABLE clusters.gaps (
    cluster_id UUID NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (cluster_id, started_at, ended_at, reason)
);

-- Single numbers of the engine: 'alive_at' (microseconds of the epoch), 'published' (a position), 'fleet_sequence'.
CREATE TABLE clusters.engine (
    key   VARCHAR(64) PRIMARY KEY,
    value BIGINT NOT NULL
) WITH (fillfactor = 50);
