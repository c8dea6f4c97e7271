-- Roles with names that break what is quoted carelessly; may be run twice on a cluster.
DO $do$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'reader', 'staff', 'odd role', 'quo"te', 'apo''strophe', '-dash', 'a=b', 'rôle 🐘', 'UPPER', 'select',
        'sixty-three bytes of a name, which is as long as names can be ..'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$do$;
GRANT staff TO reader WITH ADMIN OPTION;
GRANT "odd role" TO "quo""te";
ALTER ROLE "odd role" SET work_mem = '5MB';
ALTER ROLE reader CONNECTION LIMIT 7;
COMMENT ON ROLE "rôle 🐘" IS 'a comment with ''quotes'', "more" and
a second line';
