-- What silences held back and still holds when they end is told then: of every webhook, up to which end of a silence it was.

ALTER TABLE webhook_cursors ADD COLUMN heard_to INTEGER NOT NULL DEFAULT 0;
UPDATE webhook_cursors SET heard_to = CAST(strftime('%s', 'now') AS INTEGER) * 1000000;
