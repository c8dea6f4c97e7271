-- Destinations of every kind, several copies of a backup, encryption, retention, tunnels.
-- SQLite cannot change a column's check, so two tables are made anew with what was in them (foreign keys rest meanwhile, and are
-- checked after).

CREATE TABLE new_destinations (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    place            TEXT NOT NULL,             -- JSON: Place, without secrets
    location         TEXT NOT NULL UNIQUE,      -- the place as a URL; a folder as its path
    secret_reference TEXT,                      -- its secret's name in the keyring; never the secret
    created_at       INTEGER NOT NULL,
    prepared_at      INTEGER,                   -- when the place was first there: missing later is an error
    checked_at       INTEGER,                   -- when it was last looked at beside the work
    failure          TEXT                       -- JSON: Failure; what that look found
) STRICT;
INSERT INTO new_destinations (id, name, place, location, created_at, prepared_at)
    SELECT id, name, json_object('kind', 'folder', 'path', root), root, created_at, prepared_at FROM destinations;
DROP TABLE destinations;
ALTER TABLE new_destinations RENAME TO destinations;

-- A copy stands here from the moment it is wanted until the moment it is gone: a row of a copy that is wanted, or to be deleted,
-- is work that is still owed.
CREATE TABLE new_copies (
    backup_id       TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    destination_id  TEXT NOT NULL REFERENCES destinations (id),
    path            TEXT NOT NULL,              -- the backup's folder, relative to the destination, with slashes
    state           TEXT NOT NULL CHECK (state IN ('wanted', 'present', 'missing', 'damaged', 'deleting')),
    verified_at     INTEGER,                    -- when it was last read back and found whole
    looked_at       INTEGER,                    -- when it was last checked, whatever was found
    failure         TEXT,                       -- JSON: Failure; what is wrong with it, or why the last try failed
    attempts        INTEGER NOT NULL DEFAULT 0, -- tries that failed, of a copy that is wanted or being deleted
    next_attempt_at INTEGER,                    -- when it is tried again
    checksums       TEXT,                       -- JSON: what the destination itself said of each file when it was written
    PRIMARY KEY (backup_id, destination_id)
) STRICT, WITHOUT ROWID;
INSERT INTO new_copies (backup_id, destination_id, path, state, verified_at, failure)
    SELECT backup_id, destination_id, path, state, verified_at, failure FROM copies;
DROP TABLE copies;
ALTER TABLE new_copies RENAME TO copies;
CREATE INDEX copies_by_destination ON copies (destination_id, backup_id);
CREATE INDEX copies_owed ON copies (next_attempt_at) WHERE state IN ('wanted', 'deleting');

ALTER TABLE servers ADD COLUMN tunnel TEXT;                   -- JSON: SshTarget
ALTER TABLE servers ADD COLUMN tunnel_secret_reference TEXT;  -- the SSH secret's name in the keyring

ALTER TABLE plans ADD COLUMN encryption TEXT NOT NULL DEFAULT '{"with":"none"}';  -- JSON: Encryption
ALTER TABLE plans ADD COLUMN retention TEXT NOT NULL DEFAULT '{}';                -- JSON: RetentionRule

ALTER TABLE backups ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;  -- never deleted by a rule
ALTER TABLE backups ADD COLUMN encryption TEXT;                    -- JSON: the manifest's encryption; NULL is plain

-- The place that is being written, for a destination that is not configured (a URL on the command line).
ALTER TABLE ledger ADD COLUMN place TEXT;                     -- JSON: Place; NULL is the folder in root

-- The age identities that open backups: this machine's own, and others that were brought in by a recovery kit.
CREATE TABLE identities (
    recipient        TEXT PRIMARY KEY,          -- the public key, age1…
    secret_reference TEXT NOT NULL UNIQUE,      -- the secret key's name in the keyring; never the key
    own              INTEGER NOT NULL,          -- whether new plans encrypt to it
    created_at       INTEGER NOT NULL,
    kit_saved_at     INTEGER,                   -- when its recovery kit was saved
    kit_tested_at    INTEGER                    -- when a saved kit was read back and found right
) STRICT;
