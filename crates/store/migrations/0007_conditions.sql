-- What a plan's scheduled backups wait for, and what becomes of a due time that was missed.
ALTER TABLE plans ADD COLUMN conditions TEXT NOT NULL DEFAULT '{}';  -- JSON: Conditions
