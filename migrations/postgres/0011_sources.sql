-- Where a cluster was imported from: what it is called there stays when its name or address change.

ALTER TABLE clusters.clusters ADD COLUMN source TEXT CHECK (length(source) <= 640);
CREATE UNIQUE INDEX clusters_by_source ON clusters.clusters (source) WHERE source IS NOT NULL;
