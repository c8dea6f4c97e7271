-- Came with 18: virtual generated columns, temporal keys, constraints that are named, not valid or not enforced.
CREATE TABLE app.since_18 (
    id uuid DEFAULT uuidv7() PRIMARY KEY,
    n integer CONSTRAINT n_is_there NOT NULL,
    twice integer GENERATED ALWAYS AS (n * 2) VIRTUAL,
    m integer,
    CONSTRAINT wished_for CHECK (n > 1000) NOT ENFORCED
);
INSERT INTO app.since_18 (id, n, m) VALUES ('01890000-0000-7000-8000-000000000001', 1, NULL), ('01890000-0000-7000-8000-000000000002', 2, 5);
ALTER TABLE app.since_18 ADD CONSTRAINT m_some_day NOT NULL m NOT VALID;
CREATE TABLE app.lease (room integer, during daterange, PRIMARY KEY (room, during WITHOUT OVERLAPS));
CREATE TABLE app.stay (
    guest text, room integer, during daterange,
    FOREIGN KEY (room, PERIOD during) REFERENCES app.lease (room, PERIOD during)
);
INSERT INTO app.lease VALUES (1, '[2024-01-01,2024-06-01)'), (1, '[2024-06-01,2025-01-01)');
INSERT INTO app.stay VALUES ('Ada', 1, '[2024-05-01,2024-07-01)');
CREATE PUBLICATION with_generated FOR TABLE app.generated WITH (publish_generated_columns = stored);
