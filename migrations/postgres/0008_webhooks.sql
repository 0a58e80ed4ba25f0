-- Webhooks: who wants to be told of events, how far each has been told, and what could not be told.

CREATE TABLE clusters.webhooks (
    id             UUID PRIMARY KEY,
    name           VARCHAR(63) NOT NULL,
    format         VARCHAR(20) NOT NULL,
    -- Where to, as far as everybody may know it. The whole address is sealed with the secret.
    shown_url      TEXT NOT NULL,
    event_types    TEXT NOT NULL,
    label_selector TEXT NOT NULL,
    scope          TEXT NOT NULL,
    enabled        BOOLEAN NOT NULL,
    signed         BOOLEAN NOT NULL,
    created_by     TEXT,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL,
    key_id         TEXT NOT NULL,
    nonce          BYTEA NOT NULL,
    sealed         BYTEA NOT NULL,

    CONSTRAINT unique_webhook_name UNIQUE (name)
);

-- Everything up to the position is done with; the next event was tried so often, and is tried again then.
CREATE TABLE clusters.webhook_cursors (
    webhook_id UUID PRIMARY KEY REFERENCES clusters.webhooks (id) ON DELETE CASCADE,
    position   BIGINT NOT NULL,
    attempts   BIGINT NOT NULL,
    retry_at   TIMESTAMPTZ
) WITH (fillfactor = 50);

-- Events that were given up. The janitor may remove an event, so all of it is kept here.
CREATE TABLE clusters.dead_letters (
    webhook_id  UUID NOT NULL REFERENCES clusters.webhooks (id) ON DELETE CASCADE,
    event_id    UUID NOT NULL,
    position    BIGINT NOT NULL,
    cluster_id  UUID NOT NULL,
    sequence    BIGINT NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    buried_at   TIMESTAMPTZ NOT NULL,
    attempts    BIGINT NOT NULL,
    event_type  VARCHAR(64) NOT NULL,
    reason      VARCHAR(32) NOT NULL,
    last_error  VARCHAR(64),
    payload     TEXT NOT NULL,
    PRIMARY KEY (webhook_id, event_id)
);
CREATE INDEX idx_dead_letters_position ON clusters.dead_letters (webhook_id, position);
