-- Came with 14: multiranges, infinite numerics, SQL function bodies, statistics on expressions, compression per column.
CREATE TABLE app.since_14 (
    id integer PRIMARY KEY,
    periods int4multirange,
    moments tstzmultirange,
    amount numeric,
    body text COMPRESSION pglz
);
INSERT INTO app.since_14 VALUES
    (1, '{[1,3),[5,8)}', '{[2020-01-01 00:00+00,infinity)}', 'Infinity', repeat('x', 5000)),
    (2, '{}', NULL, '-Infinity', ''),
    (3, NULL, '{}', 'NaN', NULL);
CREATE FUNCTION app.sum_of(a integer, b integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN a + b;
CREATE FUNCTION app.newest_customer() RETURNS text LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT name FROM app.customer ORDER BY id DESC LIMIT 1;
    END;
CREATE PROCEDURE app.gives(OUT a integer) LANGUAGE plpgsql AS 'BEGIN a := 1; END';
CREATE STATISTICS app.lower_name ON lower(name), (id % 10) FROM app.customer;
CREATE VIEW app.cycle_seen AS
    WITH RECURSIVE walk(n) AS (SELECT 1 UNION ALL SELECT n % 3 + 1 FROM walk) CYCLE n SET seen USING path
    SELECT n, seen FROM walk;
