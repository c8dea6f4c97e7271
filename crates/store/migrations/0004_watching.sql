-- Health checks: what is watched, what checks found, time spent in each state, incidents, maintenance windows.
-- Two units that the first tables have not: times of stretches are milliseconds since 1970, and durations of answers microseconds. An
-- integer of zero takes no room in a row, so hours and days have a column for each state.

-- A database's checks: how they are made, and what is remembered of them over a restart. The number is its short name in the tables below.
CREATE TABLE watches (
    number        INTEGER PRIMARY KEY,
    database_id   TEXT NOT NULL UNIQUE REFERENCES databases (id) ON DELETE CASCADE,
    rule          TEXT,                         -- JSON: CheckRule; NULL is the default
    muted_until   INTEGER,
    watched_since INTEGER,                      -- the first check
    standing      TEXT,                         -- JSON: Standing
    checked_at    INTEGER,                      -- the last check
    connect       INTEGER,                      -- its microseconds until the login was through
    answer        INTEGER,                      -- and from then until the answer
    failure       TEXT                          -- JSON: Failure; why there was none
) STRICT;

-- Every check of the last days. States: 1 up, 2 slow, 3 failing, 4 down, 5 maintenance, and no data because 6 asleep, 7 offline,
-- 8 paused, 9 keyring locked, 10 not running.
CREATE TABLE checks (
    watch   INTEGER NOT NULL REFERENCES watches (number) ON DELETE CASCADE,
    at      INTEGER NOT NULL,                   -- when it ended
    state   INTEGER NOT NULL,                   -- how the database stood after it
    connect INTEGER,
    answer  INTEGER,
    code    TEXT,                               -- the failure's
    text    TEXT,                               -- what was said
    PRIMARY KEY (watch, at)
) STRICT, WITHOUT ROWID;

-- Every stretch of time in one state of the last days. A watch's stretches never overlap, and those of one state never touch.
CREATE TABLE stretches (
    watch INTEGER NOT NULL REFERENCES watches (number) ON DELETE CASCADE,
    began INTEGER NOT NULL,                     -- its first millisecond
    ended INTEGER NOT NULL,                     -- the one after its last
    state INTEGER NOT NULL,
    PRIMARY KEY (watch, began)
) STRICT, WITHOUT ROWID;

-- Both of them added up, by the hour for a year and by the day (UTC) for ever: milliseconds in each state, checks, and their answers'
-- durations as a histogram.
CREATE TABLE hours (
    watch       INTEGER NOT NULL REFERENCES watches (number) ON DELETE CASCADE,
    number      INTEGER NOT NULL,               -- hours since 1970
    up          INTEGER NOT NULL,
    slow        INTEGER NOT NULL,
    failing     INTEGER NOT NULL,
    down        INTEGER NOT NULL,
    maintenance INTEGER NOT NULL,
    asleep      INTEGER NOT NULL,
    offline     INTEGER NOT NULL,
    paused      INTEGER NOT NULL,
    locked      INTEGER NOT NULL,
    checks      INTEGER NOT NULL,
    failures    INTEGER NOT NULL,
    latencies   BLOB NOT NULL,                  -- Histogram
    PRIMARY KEY (watch, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE days (
    watch       INTEGER NOT NULL REFERENCES watches (number) ON DELETE CASCADE,
    number      INTEGER NOT NULL,               -- days since 1970
    up          INTEGER NOT NULL,
    slow        INTEGER NOT NULL,
    failing     INTEGER NOT NULL,
    down        INTEGER NOT NULL,
    maintenance INTEGER NOT NULL,
    asleep      INTEGER NOT NULL,
    offline     INTEGER NOT NULL,
    paused      INTEGER NOT NULL,
    locked      INTEGER NOT NULL,
    checks      INTEGER NOT NULL,
    failures    INTEGER NOT NULL,
    latencies   BLOB NOT NULL,
    PRIMARY KEY (watch, number)
) STRICT, WITHOUT ROWID;

-- Stretches in which databases were down for one reason. One that was open when the process died is open still.
CREATE TABLE incidents (
    id              TEXT PRIMARY KEY,
    key             TEXT NOT NULL,              -- what does not answer
    began_at        INTEGER NOT NULL,
    ended_at        INTEGER,                    -- when the last of its databases answered
    cause           TEXT NOT NULL,              -- JSON: Failure
    note            TEXT,
    acknowledged_at INTEGER
) STRICT;
CREATE UNIQUE INDEX incidents_open ON incidents (key) WHERE ended_at IS NULL;
CREATE INDEX incidents_by_time ON incidents (began_at, id);

CREATE TABLE incident_databases (
    incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    database_id TEXT NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
    joined_at   INTEGER NOT NULL,
    left_at     INTEGER,                        -- when it answered again
    PRIMARY KEY (incident_id, database_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_databases_by_database ON incident_databases (database_id, joined_at);

CREATE TABLE maintenance (
    id         TEXT PRIMARY KEY,
    databases  TEXT NOT NULL,                   -- JSON: list of ids; empty is all
    time       TEXT NOT NULL,                   -- JSON: MaintenanceTime
    note       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
