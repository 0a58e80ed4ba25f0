-- The roll, its status, the history and the event log. Times are microseconds of the epoch, ids are hyphenated text.

CREATE TABLE clusters (
    id               TEXT NOT NULL PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE
                     CHECK (length(name) BETWEEN 3 AND 63
                            AND name GLOB '[a-z0-9]*[a-z0-9]' AND name NOT GLOB '*[^a-z0-9-]*'),
    display_name     TEXT CHECK (length(display_name) <= 128),
    api_server_url   TEXT NOT NULL CHECK (length(api_server_url) <= 512),
    cluster_type     TEXT NOT NULL CHECK (cluster_type IN ('HUB', 'SPOKE', 'EDGE', 'FAR_EDGE')),
    platform         TEXT NOT NULL CHECK (platform IN ('OPENSHIFT', 'KUBERNETES', 'MICROSHIFT')),
    platform_version TEXT CHECK (length(platform_version) <= 64),
    region           TEXT CHECK (length(region) <= 64),
    environment      TEXT NOT NULL CHECK (environment IN ('PRODUCTION', 'STAGING', 'DEVELOPMENT', 'LAB')),
    labels           TEXT NOT NULL,
    endpoints        TEXT NOT NULL,
    ca_bundle        TEXT,
    tls_server_name  TEXT,
    health_check     TEXT NOT NULL,
    capabilities     TEXT,
    generation       INTEGER NOT NULL,
    created_by       TEXT,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT;

-- What is written most: apart from the roll, without an index besides its key.
CREATE TABLE cluster_status (
    cluster_id          TEXT NOT NULL PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
    version             INTEGER NOT NULL,
    state               TEXT NOT NULL CHECK (state IN ('UNKNOWN', 'ONLINE', 'DEGRADED', 'OFFLINE')),
    since               INTEGER NOT NULL,
    health_score        INTEGER NOT NULL CHECK (health_score BETWEEN 0 AND 100),
    connected           INTEGER NOT NULL,
    flapping            INTEGER NOT NULL,
    held                INTEGER NOT NULL,
    last_check_at       INTEGER,
    last_success_at     INTEGER,
    latency_ms          INTEGER,
    observed_generation INTEGER NOT NULL,
    findings            TEXT NOT NULL,
    memory              TEXT NOT NULL,
    -- Sequence of the cluster's last event: outlives the events that the janitor removes.
    event_sequence      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE transitions (
    event_id     TEXT NOT NULL PRIMARY KEY,
    cluster_id   TEXT NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    old_state    TEXT NOT NULL,
    new_state    TEXT NOT NULL,
    occurred_at  INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    message      TEXT,
    health_score INTEGER NOT NULL,
    evidence     TEXT NOT NULL
) STRICT;
CREATE INDEX transitions_by_cluster ON transitions (cluster_id, occurred_at DESC);
CREATE INDEX transitions_by_time ON transitions (occurred_at);

-- Checks of one cluster in one five-minute window, as far as one run of the process saw them.
CREATE TABLE rollups (
    cluster_id      TEXT NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    started_at      INTEGER NOT NULL,
    run             INTEGER NOT NULL,
    checks          INTEGER NOT NULL,
    failures        INTEGER NOT NULL,
    latency_min_ms  INTEGER NOT NULL,
    latency_mean_ms REAL NOT NULL,
    latency_max_ms  INTEGER NOT NULL,
    latency_p95_ms  INTEGER NOT NULL,
    PRIMARY KEY (cluster_id, started_at, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_time ON rollups (started_at);

-- The event log. Outlives the clusters that it tells of, so it references none.
CREATE TABLE events (
    position    INTEGER NOT NULL PRIMARY KEY,
    event_id    TEXT NOT NULL UNIQUE,
    event_type  TEXT NOT NULL,
    cluster_id  TEXT NOT NULL,
    sequence    INTEGER NOT NULL CHECK (sequence > 0),
    occurred_at INTEGER NOT NULL,
    payload     TEXT NOT NULL,
    UNIQUE (cluster_id, sequence)
) STRICT;

-- Time in which nothing was observed; the nil cluster is the whole fleet.
CREATE TABLE gaps (
    cluster_id TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (cluster_id, started_at, ended_at, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX gaps_by_end ON gaps (ended_at);

-- Single numbers of the engine: 'alive_at' (microseconds), 'published' (a position), 'fleet_sequence'.
CREATE TABLE engine (
    key   TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
