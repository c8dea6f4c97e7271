-- Every kind of object that a dump of PostgreSQL 13 and later must carry over, with rows that are easy to get wrong.
-- All names are qualified: this database's own search_path is set on purpose to something else.

-- The database's own properties: what they change must change neither dump nor fingerprints.
DO $do$
BEGIN
    EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), 'every kind of object; it''s "quoted"');
    EXECUTE format('ALTER DATABASE %I SET bytea_output = ''escape''', current_database());
    EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German, DMY''', current_database());
    EXECUTE format('ALTER DATABASE %I SET IntervalStyle = ''iso_8601''', current_database());
    EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Kathmandu''', current_database());
    EXECUTE format('ALTER DATABASE %I SET extra_float_digits = 0', current_database());
    EXECUTE format('ALTER DATABASE %I SET search_path = "My schema", app, public', current_database());
    EXECUTE format('ALTER ROLE reader IN DATABASE %I SET statement_timeout = ''1min''', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO "odd role"', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO "quo""te" WITH GRANT OPTION', current_database());
END
$do$;
SET search_path = '';
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';

CREATE SCHEMA app;
CREATE SCHEMA ext;
CREATE SCHEMA "My schema" AUTHORIZATION "odd role";
CREATE SCHEMA "-leading";
CREATE SCHEMA "a=b";
CREATE SCHEMA "schéma 🐘";
CREATE SCHEMA empty;
COMMENT ON SCHEMA app IS 'the application''s';

-- Extensions, also outside public.
CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION citext SCHEMA public;
CREATE EXTENSION pg_trgm SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE EXTENSION ltree SCHEMA ext;
CREATE EXTENSION "uuid-ossp" SCHEMA ext;
CREATE EXTENSION pg_stat_statements SCHEMA ext;
CREATE EXTENSION postgres_fdw SCHEMA ext;
CREATE EXTENSION file_fdw SCHEMA ext;
COMMENT ON EXTENSION citext IS 'our own words about citext';

-- Types.
CREATE TYPE app.mood AS ENUM ('sad', 'so-so', 'it''s "fine"', 'glücklich 🎉');
CREATE TYPE app.address AS (street text, "House No" integer, geo point);
CREATE TYPE app.float_range AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN app.percent AS numeric(5, 2) DEFAULT 0 NOT NULL CONSTRAINT sane CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN app.tags AS text[] CHECK (array_length(VALUE, 1) < 10);
CREATE TYPE "My schema"."Odd Type" AS ENUM ('=', '-', ' ', E'\\', E'new\nline');
COMMENT ON TYPE app.mood IS E'a type''s comment\nof two lines';

-- Collations, conversions, text search.
CREATE COLLATION app.german (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION app.no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION app.plain FROM "C";
CREATE CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH DICTIONARY app.simple_words (TEMPLATE = pg_catalog.simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION app.words (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION app.words ALTER MAPPING FOR asciiword WITH app.simple_words;

-- Functions, procedures, aggregates, operators, casts.
CREATE FUNCTION app.twice(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT 2 * n';
CREATE FUNCTION app.odd("an arg" text DEFAULT 'it''s', VARIADIC rest integer[] DEFAULT '{}', OUT a text, OUT b integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog COST 7 AS $fn$
BEGIN
    -- $$ and $do$ inside, and a \. at a line's beginning
    a := "an arg" || $$ $do$ $$;
    b := cardinality(rest);
END
$fn$;
CREATE FUNCTION app.first_n(n integer) RETURNS SETOF integer LANGUAGE sql ROWS 5 AS 'SELECT generate_series(1, n)';
CREATE PROCEDURE app.noop(INOUT n integer) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
CREATE AGGREGATE app.product(double precision) (SFUNC = float8mul, STYPE = double precision, INITCOND = '1');
CREATE FUNCTION app.near(a integer, b integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs(a - b) < 2';
CREATE OPERATOR app.~~~ (FUNCTION = app.near, LEFTARG = integer, RIGHTARG = integer, COMMUTATOR = OPERATOR(app.~~~));
CREATE FUNCTION app.mood_number(m app.mood) RETURNS integer LANGUAGE sql IMMUTABLE
    AS 'SELECT CASE m WHEN ''sad'' THEN 0 ELSE 1 END';
CREATE CAST (app.mood AS integer) WITH FUNCTION app.mood_number(app.mood) AS ASSIGNMENT;
CREATE OPERATOR FAMILY app.whole USING btree;
CREATE OPERATOR CLASS app.whole_ops FOR TYPE integer USING btree FAMILY app.whole AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(integer, integer);
COMMENT ON FUNCTION app.twice(bigint) IS 'doubles';
COMMENT ON OPERATOR app.~~~ (integer, integer) IS 'nearly equal';

-- Every type.
CREATE TABLE app.every_type (
    id integer PRIMARY KEY,
    c_boolean boolean, c_smallint smallint, c_bigint bigint, c_numeric numeric, c_numeric_scale numeric(20, 6),
    c_real real, c_double double precision, c_money money,
    c_char character(5), c_varchar character varying(40), c_text text, c_name name, c_one_char "char",
    c_bytea bytea,
    c_date date, c_time time(3), c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz(6),
    c_interval interval, c_interval_days interval day to second(2),
    c_uuid uuid, c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
    c_bit bit(5), c_varbit bit varying,
    c_json json, c_jsonb jsonb, c_jsonpath jsonpath, c_xml xml,
    c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle,
    c_tsvector tsvector, c_tsquery tsquery,
    c_int4range int4range, c_numrange numrange, c_tstzrange tstzrange, c_daterange daterange,
    c_float_range app.float_range,
    c_int_array integer[], c_text_array text[], c_grid integer[][], c_point_array point[],
    c_oid oid, c_regclass regclass, c_regtype regtype, c_regprocedure regprocedure, c_lsn pg_lsn,
    c_mood app.mood, c_moods app.mood[], c_address app.address, c_addresses app.address[], c_percent app.percent,
    c_tags app.tags, c_odd "My schema"."Odd Type",
    c_hstore ext.hstore, c_citext public.citext, c_ltree ext.ltree,
    c_german text COLLATE app.german, c_no_case text COLLATE app.no_case
);
INSERT INTO app.every_type (id) VALUES (0);
INSERT INTO app.every_type VALUES (
    1, true, -32768, 9223372036854775807, 'NaN', -12345678901234.567891,
    'NaN', 'Infinity', '-92233720368547758.08',
    'ab', E'tab\there', E'line\nbreak, back\\slash, quote '' and "', 'a name', 'x',
    decode('00ff5c270a', 'hex'),
    'infinity', '23:59:59.999', '12:34:56.789+05:45', '-infinity', 'infinity',
    '-1 year 2 mons -3 days 04:05:06.000007', '3 days 04:05:06.78',
    '00000000-0000-0000-0000-000000000000', '2001:db8::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
    B'10101', B'', '{"b": 1,   "a": [1, 2,  null], "b": "twice"}', '{"z": {"ä": "\u00e4🐘"}, "n": 1e400, "s": "a\\b\nc"}',
    '$.a[*] ? (@ > 1)', '<?xml version="1.0"?><a b="c">&lt;🐘<!-- d --></a>',
    '(1.5,-2)', '{1,-1,0}', '[(0,0),(1,1)]', '(2,2),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),1.1>',
    $$'a':1A,2 'it''s':3 'back\\slash':4$$, $$'a' & !'b' <-> 'c'$$,
    '[1,10)', '(,5.5]', '[2020-01-01 00:00+00,infinity)', 'empty', '[0.5,)',
    '[0:2]={1,NULL,-3}', ARRAY['', NULL, 'NULL', 'a,b', '"q"', E'\\', '{}'], '{{1,2},{3,4}}', ARRAY['(1,2)', '(3,4)']::point[],
    4294967295, 'app.every_type', 'app.mood', 'app.twice(bigint)', 'FFFFFFFF/FFFFFFFF',
    'glücklich 🎉', ARRAY['sad', 'it''s "fine"']::app.mood[], ROW('Main "St"', 7, '(1,2)'), ARRAY[ROW(NULL, NULL, NULL), ROW('', 0, NULL)]::app.address[], 99.99,
    ARRAY['a', 'b'], E'new\nline',
    'a=>1, "b c"=>NULL, "=>"=>"\"x\""', 'MiXed', 'top.middle.leaf', 'Äpfel', 'CASE'
);
INSERT INTO app.every_type (id, c_numeric, c_real, c_double, c_char, c_varchar, c_text, c_bytea, c_date, c_timestamp, c_timestamptz,
    c_int_array, c_jsonb, c_xml, c_money) VALUES
    (2, 0.000000000000000000000000000000001, '-0', '-0', '', '', '', '', '0044-03-15 BC', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999+00', '{}', 'null', '', 0),
    (3, 1e100, 1.17549435e-38, 2.2250738585072014e-308, '\.', '\.', E'\\.\n\\.\n', '\x5c2e0a', '5874897-12-31', '0001-01-01 00:00:00', '1883-11-18 12:03:58-07:52:58', '{1}', '[]', '<a/>', 1),
    (4, -0.1, 0.1, 0.1, ' x ', '\N', '\N', '\x', '1582-10-15', '2024-02-29 23:59:60', '2024-10-27 01:30:00+00', '{{{1}}}', '""', '<!-- -->', -1),
    (5, 123456789012345678901234567890.123456789, 3.4028235e38, 1.7976931348623157e308, 'äöüß🐘', 'ÿ', E'\x01\x02\x7f\u0085\u2028 end ', '\x0a0d09', NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- Columns: dropped, generated, identity, none at all, many.
CREATE TABLE app.dropped_column (a integer, gone text, b text DEFAULT 'b', also_gone integer, "c d" integer);
INSERT INTO app.dropped_column SELECT n, 'gone', 'row ' || n, n, -n FROM generate_series(1, 10) n;
ALTER TABLE app.dropped_column DROP COLUMN gone, DROP COLUMN also_gone, ADD COLUMN late date DEFAULT '2020-02-02';
CREATE TABLE app.all_dropped (a integer);
INSERT INTO app.all_dropped VALUES (1), (2);
ALTER TABLE app.all_dropped DROP COLUMN a;
CREATE TABLE app.no_columns ();
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
CREATE TABLE app.generated (
    first text, last text,
    whole text GENERATED ALWAYS AS (first || ' ' || last) STORED,
    n integer, doubled bigint GENERATED ALWAYS AS (app.twice(n)) STORED
);
INSERT INTO app.generated (first, last, n) VALUES ('Ada', 'Lovelace', 1), (NULL, 'x', NULL), ('', '', -5);
CREATE TABLE app.only_generated (one integer GENERATED ALWAYS AS (1) STORED);
INSERT INTO app.only_generated DEFAULT VALUES;
INSERT INTO app.only_generated DEFAULT VALUES;
CREATE TABLE app.identity (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 10 MAXVALUE 1000000 CYCLE) PRIMARY KEY,
    second integer GENERATED BY DEFAULT AS IDENTITY (MINVALUE -5 START WITH -5),
    serial_number serial,
    body text
);
INSERT INTO app.identity (body) SELECT 'body ' || n FROM generate_series(1, 25) n;

-- Rows of some size: several frames, one row larger than a frame's usual share, and many small tables around.
CREATE TABLE app.long_rows (id integer PRIMARY KEY, body text, raw bytea);
INSERT INTO app.long_rows
    SELECT n, repeat(md5(n::text) || E' \\ \n', 200), decode(repeat(md5((n * 7)::text), 50), 'hex') FROM generate_series(1, 200) n;
INSERT INTO app.long_rows VALUES (1000, repeat('a very long line, ', 120000), NULL);
ALTER TABLE app.long_rows ALTER COLUMN raw SET STORAGE EXTERNAL;
ALTER TABLE app.long_rows ALTER COLUMN body SET STATISTICS 500;
ALTER TABLE app.long_rows SET (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off);

-- Partitions: by range with a default and a second level, by list, by hash of an enum, with other column orders.
CREATE TABLE app.event (id bigint NOT NULL, at timestamptz NOT NULL, kind text, payload jsonb)
    PARTITION BY RANGE (at);
CREATE TABLE app.event_2023 PARTITION OF app.event FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE app.event_2024 PARTITION OF app.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (kind);
CREATE TABLE app.event_2024_login PARTITION OF app.event_2024 FOR VALUES IN ('login', 'logout');
CREATE TABLE app.event_2024_rest PARTITION OF app.event_2024 DEFAULT;
CREATE TABLE app.event_default PARTITION OF app.event DEFAULT;
CREATE TABLE "My schema"."event of old" (payload jsonb, gone integer, kind text, at timestamptz NOT NULL, id bigint NOT NULL);
ALTER TABLE "My schema"."event of old" DROP COLUMN gone;
ALTER TABLE app.event ATTACH PARTITION "My schema"."event of old" FOR VALUES FROM (MINVALUE) TO ('2023-01-01');
INSERT INTO app.event SELECT n, '2022-06-01'::timestamptz + n * interval '7 hours', (ARRAY['login', 'logout', 'buy', NULL])[1 + n % 4],
    jsonb_build_object('n', n, 'text', repeat('x', n % 50)) FROM generate_series(1, 4000) n;
CREATE INDEX event_kind ON app.event (kind) WHERE kind IS NOT NULL;
CREATE TABLE app.region (code text, name text) PARTITION BY LIST (code);
CREATE TABLE app.region_eu PARTITION OF app.region FOR VALUES IN ('de', 'fr', NULL);
CREATE TABLE app."region-us" PARTITION OF app.region FOR VALUES IN ('us');
CREATE TABLE app.region_none PARTITION OF app.region FOR VALUES IN ('xx');
INSERT INTO app.region VALUES ('de', 'Germany'), ('us', 'USA'), (NULL, 'nowhere'), ('fr', 'France');
CREATE TABLE app.by_mood (feeling app.mood, n integer) PARTITION BY HASH (feeling);
CREATE TABLE app.by_mood_0 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE app.by_mood_1 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE app.by_mood_2 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO app.by_mood SELECT (enum_range(NULL::app.mood))[1 + n % 4], n FROM generate_series(1, 400) n;
CREATE TABLE app.hashed (id integer PRIMARY KEY, body text) PARTITION BY HASH (id);
CREATE TABLE app.hashed_0 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.hashed_1 PARTITION OF app.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.hashed SELECT n, md5(n::text) FROM generate_series(1, 100) n;
CREATE TABLE app.no_partitions (a integer) PARTITION BY RANGE (a);

-- Inheritance; the child's columns get another order when it is restored, which pg_dump cannot help.
CREATE TABLE app.parent (id integer, name text NOT NULL, CONSTRAINT has_name CHECK (name <> ''));
CREATE TABLE app.other_parent (weight numeric DEFAULT 1.5);
CREATE TABLE app.child (extra text, CHECK (extra <> 'never')) INHERITS (app.parent, app.other_parent);
ALTER TABLE app.parent ADD COLUMN added_later integer DEFAULT 7;
INSERT INTO app.parent VALUES (1, 'a parent'), (2, 'another');
INSERT INTO app.child (id, name, weight, extra, added_later) VALUES (3, 'a child', 2.5, 'x', 8);

-- Constraints and indexes of every kind.
CREATE TABLE app.customer (
    id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    email public.citext UNIQUE,
    name text COLLATE app.german NOT NULL,
    boss integer REFERENCES app.customer DEFERRABLE INITIALLY DEFERRED,
    favourite bigint,
    CONSTRAINT "has an @" CHECK (email ~ '@')
);
CREATE TABLE app.orders (
    id bigserial PRIMARY KEY,
    customer integer NOT NULL REFERENCES app.customer ON DELETE CASCADE ON UPDATE CASCADE,
    during tstzrange,
    total app.percent,
    EXCLUDE USING gist (customer WITH =, during WITH &&)
);
ALTER TABLE app.customer ADD FOREIGN KEY (favourite) REFERENCES app.orders DEFERRABLE;
INSERT INTO app.customer (email, name, boss) SELECT 'c' || n || '@example.com', 'Customer ' || n, greatest(1, n - 1) FROM generate_series(1, 50) n;
INSERT INTO app.orders (customer, during, total)
    SELECT n, tstzrange('2024-01-01'::timestamptz, '2024-02-01'::timestamptz), n FROM generate_series(1, 50) n;
UPDATE app.customer SET favourite = id WHERE id % 3 = 0;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE app.orders ADD CONSTRAINT never_was_true CHECK (total < 10) NOT VALID;
CREATE UNIQUE INDEX customer_name ON app.customer (lower(name), id DESC NULLS LAST) INCLUDE (email) WHERE id > 0;
CREATE INDEX customer_trigram ON app.customer USING gin (name ext.gin_trgm_ops);
CREATE INDEX orders_during ON app.orders USING gist (during);
CREATE INDEX orders_brin ON app.orders USING brin (id) WITH (pages_per_range = 4);
CREATE INDEX customer_hash ON app.customer USING hash (email);
CREATE INDEX orders_whole ON app.orders USING btree (customer app.whole_ops);
CREATE STATISTICS app.customer_pair (ndistinct, dependencies, mcv) ON name, boss FROM app.customer;
ALTER TABLE app.customer CLUSTER ON customer_pkey;
ALTER TABLE app.customer REPLICA IDENTITY FULL;
COMMENT ON COLUMN app.customer.email IS 'a column''s comment';
COMMENT ON CONSTRAINT "has an @" ON app.customer IS 'a constraint''s comment';
COMMENT ON INDEX app.customer_trigram IS 'an index''s comment';
COMMENT ON TABLE app.customer IS E'back\\slash';
CREATE UNLOGGED TABLE app.unlogged (a integer);
INSERT INTO app.unlogged SELECT generate_series(1, 10);

-- Views, rules.
CREATE VIEW app.customers AS SELECT id, name, app.twice(id) AS twice FROM app.customer WHERE id > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW app.barrier WITH (security_barrier) AS SELECT * FROM app.customer;
CREATE RECURSIVE VIEW app.numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 5;
CREATE VIEW "My schema"."a view" AS SELECT 1 AS "a column", '' AS "=";
ALTER VIEW "My schema"."a view" OWNER TO "odd role";
CREATE MATERIALIZED VIEW app.totals AS SELECT customer, sum(total) AS total FROM app.orders GROUP BY customer;
CREATE UNIQUE INDEX totals_customer ON app.totals (customer);
CREATE MATERIALIZED VIEW app.totals_of_totals AS SELECT count(*) AS n, sum(total) FROM app.totals;
CREATE MATERIALIZED VIEW app.not_filled AS SELECT * FROM app.customer WITH NO DATA;
CREATE TABLE app.ruled (a integer, b text);
INSERT INTO app.ruled VALUES (1, 'before the rule');
CREATE RULE "no deletes" AS ON DELETE TO app.ruled DO INSTEAD NOTHING;
CREATE RULE also AS ON UPDATE TO app.ruled WHERE NEW.a > 10 DO ALSO DELETE FROM app.unlogged WHERE a = NEW.a;
COMMENT ON RULE "no deletes" ON app.ruled IS 'a rule''s comment';
COMMENT ON VIEW app.customers IS 'a view''s comment';

-- Triggers. One would change every row that is written, if it fired while rows are restored.
CREATE TABLE app.triggered (id integer PRIMARY KEY, body text, changes integer DEFAULT 0);
CREATE FUNCTION app.count_changes() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
    NEW.changes := coalesce(NEW.changes, 0) + 1;
    RETURN NEW;
END
$fn$;
CREATE FUNCTION app.do_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER count_changes BEFORE INSERT OR UPDATE OF body ON app.triggered FOR EACH ROW EXECUTE FUNCTION app.count_changes();
CREATE TRIGGER "after all" AFTER DELETE ON app.triggered REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION app.do_nothing('an ''argument''');
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON app.triggered DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id > 5) EXECUTE FUNCTION app.do_nothing();
INSERT INTO app.triggered (id, body) SELECT n, 'body' FROM generate_series(1, 20) n;
UPDATE app.triggered SET body = 'changed' WHERE id < 5;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE app.triggered DISABLE TRIGGER "after all";
ALTER TABLE app.triggered ENABLE ALWAYS TRIGGER late;
COMMENT ON TRIGGER late ON app.triggered IS 'a trigger''s comment';
CREATE FUNCTION app.note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE DEBUG ''%'', tg_tag; END';
CREATE EVENT TRIGGER note_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION app.note_ddl();
CREATE EVENT TRIGGER "sleeping one" ON sql_drop EXECUTE FUNCTION app.note_ddl();
ALTER EVENT TRIGGER "sleeping one" DISABLE;

-- Row-level security.
CREATE TABLE app.secret (id integer, owner text, body text);
INSERT INTO app.secret SELECT n, CASE n % 2 WHEN 0 THEN 'reader' ELSE 'staff' END, 'secret ' || n FROM generate_series(1, 10) n;
ALTER TABLE app.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON app.secret FOR SELECT TO reader, staff USING (owner = current_user);
CREATE POLICY "no inserts" ON app.secret AS RESTRICTIVE FOR INSERT WITH CHECK (false);
CREATE TABLE app.secret_even_to_its_owner (id integer);
INSERT INTO app.secret_even_to_its_owner VALUES (1);
ALTER TABLE app.secret_even_to_its_owner ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT ON app.secret TO reader;

-- Foreign data: definitions are dumped, rows are not.
CREATE SERVER elsewhere TYPE 'postgres' VERSION '17' FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host '192.0.2.1', port '5432', dbname 'it''s "there"');
CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'someone', password 'it''s a secret');
CREATE FOREIGN TABLE app.far_away (id integer OPTIONS (column_name 'ID'), body text) SERVER elsewhere OPTIONS (table_name 'far "away"');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE app.passwd (line text) SERVER files OPTIONS (filename '/nonexistent', format 'text');
GRANT USAGE ON FOREIGN SERVER elsewhere TO reader;
GRANT USAGE ON FOREIGN DATA WRAPPER file_fdw TO "odd role";

-- Sequences.
CREATE SEQUENCE app.plain_sequence;
CREATE SEQUENCE app.down INCREMENT BY -3 MINVALUE -1000000 MAXVALUE 5 START WITH 5 CACHE 4 CYCLE;
CREATE SEQUENCE "My schema"."a sequence" AS smallint;
SELECT nextval('app.plain_sequence'), nextval('app.down'), nextval('app.down'), setval('"My schema"."a sequence"', 32767);
SELECT setval('app.plain_sequence', 9000000000, false);
CREATE SEQUENCE app.never_called;

-- Large objects.
SELECT lo_from_bytea(424201, decode(repeat('00ff5c', 30000), 'hex')), lo_from_bytea(424202, ''), lo_create(424203);
SELECT lo_from_bytea(424204, convert_to(repeat('a large object, ', 40000), 'UTF8'));
COMMENT ON LARGE OBJECT 424201 IS 'a large object''s comment';
GRANT SELECT ON LARGE OBJECT 424201 TO reader;
ALTER LARGE OBJECT 424202 OWNER TO "odd role";

-- Names.
CREATE TABLE "My schema"."My table" ("My column" integer PRIMARY KEY, "quo""te" text, "apo'strophe" text, "a=b" text, "-c" text, "🐘" text, "select" text);
INSERT INTO "My schema"."My table" VALUES (1, '"', '''', '=', '-', '🐘', 'select'), (2, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE "My schema"."quo""te" (a integer);
CREATE TABLE "My schema"."apo'strophe" (a integer);
CREATE TABLE "My schema"."back\slash" (a integer);
CREATE TABLE "My schema"." " (" " integer);
CREATE TABLE "My schema"."per%cent $dollar$ .dot. [star]*?" (a integer);
CREATE TABLE "-leading"."--schema=x" ("-" integer);
CREATE TABLE "a=b"."c=d" ("e=f" integer);
CREATE TABLE "schéma 🐘"."tâble 🎉" ("çolumn" text);
CREATE TABLE app."SELECT" ("FROM" integer, "from" integer);
CREATE TABLE app."sixty-three bytes of a name, which is as long as a name can be." ("sixty-three bytes of a column, which is as long as one can be..." integer);
CREATE TABLE app."🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘" (a integer);
CREATE TABLE app."two
lines" (a integer);
INSERT INTO "My schema"."quo""te" VALUES (1);
INSERT INTO "My schema"."apo'strophe" VALUES (1), (2);
INSERT INTO "My schema"."back\slash" VALUES (1), (2), (3);
INSERT INTO "My schema"." " VALUES (4);
INSERT INTO "My schema"."per%cent $dollar$ .dot. [star]*?" VALUES (5);
INSERT INTO "-leading"."--schema=x" VALUES (6);
INSERT INTO "a=b"."c=d" VALUES (7);
INSERT INTO "schéma 🐘"."tâble 🎉" VALUES ('é'), ('🎉');
INSERT INTO app."SELECT" VALUES (1, 2);
INSERT INTO app."sixty-three bytes of a name, which is as long as a name can be." VALUES (63);
INSERT INTO app."🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘🐘" VALUES (60);
INSERT INTO app."two
lines" VALUES (2);
CREATE TABLE public.in_public (a integer);
INSERT INTO public.in_public SELECT generate_series(1, 5);

-- Publications.
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, update');
CREATE PUBLICATION "some tables" FOR TABLE app.customer, ONLY app.parent, "My schema"."My table" WITH (publish_via_partition_root = true);
COMMENT ON PUBLICATION "some tables" IS 'a publication''s comment';

-- Owners and privileges.
ALTER TABLE "My schema"."My table" OWNER TO "odd role";
ALTER TABLE app.region OWNER TO "rôle 🐘";
ALTER FUNCTION app.first_n(integer) OWNER TO "quo""te";
ALTER TYPE app.float_range OWNER TO "UPPER";
GRANT USAGE ON SCHEMA app TO reader, "-dash";
GRANT ALL ON SCHEMA "My schema" TO "a=b" WITH GRANT OPTION;
GRANT SELECT ON ALL TABLES IN SCHEMA app TO "-dash";
GRANT SELECT (id, name), UPDATE (name) ON app.customer TO reader;
GRANT SELECT, INSERT ON app.orders TO "quo""te" WITH GRANT OPTION;
GRANT TRUNCATE ON app.orders TO "apo'strophe", "a=b", "select", "UPPER";
GRANT SELECT ON "My schema"."My table" TO "sixty-three bytes of a name, which is as long as names can be ..";
REVOKE ALL ON app.ruled FROM postgres;
REVOKE EXECUTE ON FUNCTION app.odd(text, integer[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.odd(text, integer[]) TO reader;
GRANT USAGE, SELECT ON SEQUENCE app.plain_sequence TO reader;
GRANT USAGE ON TYPE app.mood TO "rôle 🐘";
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO reader;
ALTER DEFAULT PRIVILEGES FOR ROLE "odd role" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
