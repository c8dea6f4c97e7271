-- Whether nobody was to be told when it happened: what is muted and lasts is told once it is not muted any more.
ALTER TABLE alerts ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;
