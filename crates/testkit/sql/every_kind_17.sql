-- Came with 17: identity in partitioned tables, collations of its own, MAINTAIN. Not here: an exclusion constraint on a
-- partitioned table, which pg_restore 17 and 18 cannot attach ("The index definitions do not match").
CREATE COLLATION app.builtin (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE app.since_17 (
    id integer GENERATED ALWAYS AS IDENTITY,
    room integer,
    during int4range,
    label text COLLATE app.builtin
) PARTITION BY LIST (room);
CREATE TABLE app.since_17_1 PARTITION OF app.since_17 FOR VALUES IN (1);
CREATE TABLE app.since_17_rest PARTITION OF app.since_17 DEFAULT;
INSERT INTO app.since_17 (room, during, label) SELECT n % 3, int4range(n * 10, n * 10 + 5), 'Label ' || n FROM generate_series(1, 30) n;
GRANT MAINTAIN ON app.since_17 TO reader;
