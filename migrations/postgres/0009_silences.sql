-- Silences and maintenance windows. What is over stays for as long as the history it marks.

CREATE TABLE clusters.silences (
    id             UUID PRIMARY KEY,
    starts_at      TIMESTAMPTZ NOT NULL,
    ends_at        TIMESTAMPTZ NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    ended_at       TIMESTAMPTZ,
    comment        VARCHAR(500) NOT NULL,
    label_selector TEXT,
    cluster_ids    TEXT NOT NULL,
    scope          TEXT NOT NULL,
    rrule          TEXT,
    time_zone      TEXT NOT NULL,
    created_by     TEXT,
    ended_by       TEXT,

    CONSTRAINT valid_window CHECK (ends_at > starts_at)
);
