-- Channels, what happened, and what became of telling it.

-- Who is told. What opens a channel is in the keyring, under `channel/<id>/<name>`.
CREATE TABLE channels (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    address      TEXT NOT NULL,                 -- JSON: Address, without secrets
    secrets      TEXT NOT NULL DEFAULT '[]',    -- JSON: the names of those that the keyring holds
    rule         TEXT NOT NULL DEFAULT '{}',    -- JSON: ChannelRule
    enabled      INTEGER NOT NULL DEFAULT 1,
    created_at   INTEGER NOT NULL,
    delivered_at INTEGER,                       -- when it last took a message
    failure      TEXT,                          -- JSON: Failure; why the newest try failed
    summed_up_at INTEGER                        -- the due time of its last summary
) STRICT;

-- This desktop is always there. Whether it tells of successes was a setting before.
INSERT INTO channels (id, name, address, rule, created_at)
    SELECT 'desktop', 'This desktop', '{"kind":"desktop"}',
        CASE (SELECT json_extract(value, '$.notify_success') FROM settings WHERE key = 'settings')
            WHEN 0 THEN '{"also":["restore_succeeded","database_joined"]}'
            ELSE '{"also":["backup_succeeded","restore_succeeded","database_joined"]}' END,
        CAST(strftime('%s', 'now') AS INTEGER) * 1000000;

-- What people may want to hear of. One that lasts stands open, once for each subject, until it is over.
CREATE TABLE alerts (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    severity        TEXT NOT NULL,
    subject         TEXT,                       -- what it is about, of one that lasts; NULL is a moment
    title           TEXT NOT NULL,
    body            TEXT NOT NULL,
    details         TEXT,                       -- the technical text, shortened in its middle
    route           TEXT,                       -- the page of the window that tells more
    databases       TEXT NOT NULL DEFAULT '[]', -- JSON: the databases concerned, with the names they had
    at              INTEGER NOT NULL,
    ended_at        INTEGER,
    acknowledged_at INTEGER
) STRICT;
CREATE UNIQUE INDEX alerts_lasting ON alerts (kind, subject) WHERE subject IS NOT NULL AND ended_at IS NULL;
CREATE INDEX alerts_by_time ON alerts (at);

-- The outbox: a row stands here from the moment something happened, in the same transaction, until a channel took it or it was given up.
CREATE TABLE deliveries (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,  -- a channel's messages go out in this order
    alert_id        TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    channel_id      TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    round           INTEGER NOT NULL DEFAULT 0,  -- how often it was told again, of what lasts
    state           TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'collapsed', 'failed')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    next_attempt_at INTEGER,
    delivered_at    INTEGER,
    failure         TEXT,                        -- JSON: Failure; why the last try failed
    remark          TEXT,                        -- what went wrong beside a delivery
    UNIQUE (alert_id, channel_id, round)
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries (channel_id, number) WHERE state = 'waiting';
CREATE INDEX deliveries_by_channel ON deliveries (channel_id);

-- What a look into a server found, beside its answering.
CREATE TABLE server_facts (
    server_id TEXT PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
    at        INTEGER NOT NULL,
    facts     TEXT NOT NULL                      -- JSON: ServerFacts
) STRICT, WITHOUT ROWID;
