-- Silences and maintenance windows. What is over stays for as long as the history it marks.

CREATE TABLE silences (
    id             TEXT NOT NULL PRIMARY KEY,
    comment        TEXT NOT NULL CHECK (length(comment) BETWEEN 1 AND 500),
    label_selector TEXT,
    cluster_ids    TEXT NOT NULL,
    scope          TEXT NOT NULL,
    starts_at      INTEGER NOT NULL,
    ends_at        INTEGER NOT NULL CHECK (ends_at > starts_at),
    rrule          TEXT,
    time_zone      TEXT NOT NULL,
    created_by     TEXT,
    created_at     INTEGER NOT NULL,
    ended_by       TEXT,
    ended_at       INTEGER
) STRICT;
