-- Webhooks: who wants to be told of events, how far each has been told, and what could not be told.

CREATE TABLE webhooks (
    id             TEXT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE CHECK (length(name) <= 63),
    format         TEXT NOT NULL,
    -- Where to, as far as everybody may know it. The whole address is sealed with the secret.
    shown_url      TEXT NOT NULL,
    event_types    TEXT NOT NULL,
    label_selector TEXT NOT NULL,
    scope          TEXT NOT NULL,
    enabled        INTEGER NOT NULL,
    signed         INTEGER NOT NULL,
    created_by     TEXT,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    key_id         TEXT NOT NULL,
    nonce          BLOB NOT NULL,
    sealed         BLOB NOT NULL
) STRICT;

-- Everything up to the position is done with; the next event was tried so often, and is tried again then.
CREATE TABLE webhook_cursors (
    webhook_id TEXT NOT NULL PRIMARY KEY REFERENCES webhooks (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    retry_at   INTEGER
) STRICT, WITHOUT ROWID;

-- Events that were given up. The janitor may remove an event, so all of it is kept here.
CREATE TABLE dead_letters (
    webhook_id  TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id    TEXT NOT NULL,
    position    INTEGER NOT NULL,
    cluster_id  TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    buried_at   INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    event_type  TEXT NOT NULL,
    reason      TEXT NOT NULL,
    last_error  TEXT,
    payload     TEXT NOT NULL,
    PRIMARY KEY (webhook_id, event_id)
) STRICT;
CREATE INDEX dead_letters_by_position ON dead_letters (webhook_id, position);
