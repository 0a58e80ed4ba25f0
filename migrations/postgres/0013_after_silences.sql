-- What silences held back and still holds when they end is told then: of every webhook, up to which end of a silence it was.

ALTER TABLE clusters.webhook_cursors ADD COLUMN heard_to TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP;
