-- Local instances, drills, and what a restore was asked to do.

-- A PostgreSQL on this machine. The row is there before the folder is made, and stays until the folder is gone.
CREATE TABLE instances (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    major            INTEGER NOT NULL,
    folder           TEXT NOT NULL UNIQUE,       -- absolute; holds `data`, the log, and the socket where its path is short
    database         TEXT,                       -- the database that was restored into it
    backup_id        TEXT,                       -- the backup that was; kept when the backup is deleted
    secret_reference TEXT,                       -- the superuser's password in the keyring; NULL where nothing needs one
    owner            TEXT,                       -- the process that makes it, or for which it is; NULL once it is the user's
    created_at       INTEGER NOT NULL
) STRICT;

-- What a run was asked to do, where its kind and its backup do not say that.
CREATE TABLE run_requests (
    run_id  TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    request TEXT NOT NULL                        -- JSON
) STRICT, WITHOUT ROWID;

-- Drills that came to a verdict. They outlive their backups: when a database was last proved does not change when a rule deletes the
-- backup that was.
CREATE TABLE drills (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id      TEXT UNIQUE REFERENCES runs (id) ON DELETE SET NULL,
    database_id TEXT NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
    backup_id   TEXT NOT NULL,
    finished_at INTEGER NOT NULL,
    proved      INTEGER NOT NULL,
    report      TEXT                             -- JSON: DrillReport; NULL once the backup is gone
) STRICT;
CREATE INDEX drills_by_backup ON drills (backup_id, number, proved, finished_at);
CREATE INDEX drills_by_database ON drills (database_id, proved, finished_at);
CREATE INDEX drills_newest ON drills (database_id, number);

ALTER TABLE plans ADD COLUMN drill TEXT NOT NULL DEFAULT '{}';  -- JSON: DrillRule

-- Databases that a restored one takes, or took, the place of. The row is there before the restored one is made beside the other, and
-- stays until the one that was replaced is dropped, or put back.
CREATE TABLE replacements (
    id         TEXT PRIMARY KEY,
    server_id  TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    database   TEXT NOT NULL,                    -- the name in question
    restored   TEXT NOT NULL,                    -- the name under which the restored one is made
    backup_id  TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('restoring', 'swapping', 'swapped')),
    record     TEXT,                             -- JSON: what the swap is about; NULL while it is being restored
    owner      TEXT,                             -- the process that is at it; NULL once it is swapped
    created_at INTEGER NOT NULL,
    kept_until INTEGER                           -- when the one that was replaced is dropped
) STRICT;
