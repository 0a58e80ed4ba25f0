-- Sealed credentials of clusters, one row for each endpoint they open. Nothing here is secret without the key.

CREATE TABLE clusters.credentials (
    cluster_id UUID NOT NULL REFERENCES clusters.clusters (id) ON DELETE CASCADE,
    expires_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL,
    kind       VARCHAR(20) COLLATE "C" NOT NULL,
    auth_type  VARCHAR(20) NOT NULL,
    key_id     VARCHAR(64) NOT NULL,
    bound_to   TEXT NOT NULL,
    nonce      BYTEA NOT NULL,
    sealed     BYTEA NOT NULL,
    PRIMARY KEY (cluster_id, kind),

    CONSTRAINT valid_kind CHECK (kind IN ('api_server', 'prometheus', 'tempo', 'loki')),
    CONSTRAINT valid_auth_type CHECK (auth_type IN ('KUBECONFIG', 'TOKEN', 'CERTIFICATE')),
    CONSTRAINT valid_nonce CHECK (octet_length(nonce) = 12)
);
