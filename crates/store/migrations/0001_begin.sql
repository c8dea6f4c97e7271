-- The first tables. Migrations are additive: an older program refuses a newer database, a newer one reads what is here.
-- Times are microseconds since 1970 in UTC, sizes are bytes, words are the domain's own (snake_case), JSON is the domain's types.

CREATE TABLE servers (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    host             TEXT NOT NULL,
    port             INTEGER NOT NULL,
    role             TEXT NOT NULL,
    database         TEXT NOT NULL,
    tls              TEXT NOT NULL,             -- JSON: Tls
    environment      TEXT NOT NULL,
    secret_reference TEXT,                      -- the password's name in the keyring; never the password
    created_at       INTEGER NOT NULL,
    removed_at       INTEGER                    -- a removed server's backups stay, and so does their server's name
) STRICT;
CREATE UNIQUE INDEX servers_by_name ON servers (name) WHERE removed_at IS NULL;

CREATE TABLE databases (
    id            TEXT PRIMARY KEY,
    server_id     TEXT NOT NULL REFERENCES servers (id),
    name          TEXT NOT NULL,
    environment   TEXT,                         -- where it differs from its server's
    first_seen_at INTEGER NOT NULL,
    vanished_at   INTEGER,                      -- since when it is no longer on its server
    UNIQUE (server_id, name)
) STRICT;

CREATE TABLE destinations (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL CHECK (kind IN ('folder')),
    root        TEXT NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    prepared_at INTEGER                         -- when the root was first there: missing later is an error
) STRICT;

CREATE TABLE plans (
    id         TEXT PRIMARY KEY,
    server_id  TEXT NOT NULL REFERENCES servers (id),
    scope      TEXT NOT NULL,                   -- JSON: Scope
    selection  TEXT NOT NULL,                   -- JSON: Selection
    globals    INTEGER NOT NULL,
    schedule   TEXT NOT NULL,                   -- JSON: Schedule
    time_zone  TEXT NOT NULL,
    level      INTEGER NOT NULL,
    enabled    INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX plans_by_server ON plans (server_id);

CREATE TABLE plan_destinations (
    plan_id        TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    position       INTEGER NOT NULL,
    destination_id TEXT NOT NULL REFERENCES destinations (id),
    PRIMARY KEY (plan_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX plan_destinations_by_destination ON plan_destinations (destination_id);

-- One row per due time of a plan: whoever inserts it runs it, and nobody else.
CREATE TABLE occurrences (
    id         TEXT PRIMARY KEY,
    plan_id    TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    due_at     INTEGER NOT NULL,
    claimed_at INTEGER NOT NULL,
    owner      TEXT NOT NULL,
    settled_at INTEGER,                         -- when its runs were recorded (or it was decided that there are none)
    UNIQUE (plan_id, due_at)
) STRICT;
CREATE INDEX occurrences_unsettled ON occurrences (owner) WHERE settled_at IS NULL;

CREATE TABLE runs (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of recording, whatever the clock says
    id              TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    started_by      TEXT NOT NULL,
    state           TEXT NOT NULL,
    state_detail    TEXT,                       -- the phase, the reason to wait, or the reason to skip
    owner           TEXT NOT NULL,
    plan_id         TEXT REFERENCES plans (id) ON DELETE SET NULL,
    occurrence_id   TEXT REFERENCES occurrences (id) ON DELETE SET NULL,
    database_id     TEXT REFERENCES databases (id) ON DELETE SET NULL,
    database_name   TEXT NOT NULL,
    server_name     TEXT NOT NULL,
    backup_id       TEXT,
    due_at          INTEGER,
    queued_at       INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER,                    -- set exactly when the state is final
    next_attempt_at INTEGER,
    attempt         INTEGER NOT NULL DEFAULT 0,
    progress        TEXT NOT NULL,              -- JSON: Progress
    failure         TEXT                        -- JSON: Failure
) STRICT;
CREATE INDEX runs_active ON runs (number) WHERE finished_at IS NULL;
CREATE INDEX runs_by_database ON runs (database_id, number);
CREATE INDEX runs_ended_backups ON runs (database_id, number) WHERE finished_at IS NOT NULL AND kind = 'backup';
CREATE INDEX runs_by_plan ON runs (plan_id) WHERE plan_id IS NOT NULL;
CREATE INDEX runs_by_occurrence ON runs (occurrence_id) WHERE occurrence_id IS NOT NULL;

CREATE TABLE run_logs (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,                    -- from 1; the line that stands for those left out has a number too
    at     INTEGER NOT NULL,
    level  TEXT NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE backups (
    id             TEXT PRIMARY KEY,
    database_id    TEXT NOT NULL REFERENCES databases (id),
    run_id         TEXT REFERENCES runs (id) ON DELETE SET NULL,
    database_name  TEXT NOT NULL,
    server_name    TEXT NOT NULL,
    started_at     INTEGER NOT NULL,
    finished_at    INTEGER NOT NULL,
    raw_bytes      INTEGER NOT NULL,
    stored_bytes   INTEGER NOT NULL,
    tables         INTEGER NOT NULL,
    row_count      INTEGER NOT NULL,
    server_version TEXT NOT NULL,
    client_version TEXT NOT NULL
) STRICT;
CREATE INDEX backups_by_database ON backups (database_id, started_at, id, stored_bytes);
CREATE INDEX backups_by_time ON backups (started_at, id);
CREATE INDEX backups_by_run ON backups (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE copies (
    backup_id      TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    destination_id TEXT NOT NULL REFERENCES destinations (id),
    path           TEXT NOT NULL,               -- the backup's folder, relative to the destination's root, with slashes
    state          TEXT NOT NULL CHECK (state IN ('present', 'missing', 'damaged')),
    verified_at    INTEGER,                     -- when it was last read back and found whole
    failure        TEXT,                        -- JSON: Failure; what is wrong with it
    PRIMARY KEY (backup_id, destination_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX copies_by_destination ON copies (destination_id, backup_id);

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL                         -- JSON
) STRICT, WITHOUT ROWID;

-- What is being written, and where: a row stands here from before the first byte until the manifest is in place or
-- the leavings are gone.
CREATE TABLE ledger (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    owner    TEXT NOT NULL,
    run_id   TEXT,
    root     TEXT NOT NULL,                     -- the destination's root
    path     TEXT NOT NULL,                     -- the backup's folder, relative to it
    begun_at INTEGER NOT NULL
) STRICT;
CREATE INDEX ledger_by_owner ON ledger (owner);
