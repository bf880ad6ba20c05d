-- Creates the role that the product connects as. It owns its database and is not a superuser. Run this script in that database,
-- as a superuser, with evermuse.application_password set. It may be repeated, and also changes the owner of an earlier version's
-- tables.
DO $$
DECLARE
  found record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'evermuse_app') THEN
    CREATE ROLE evermuse_app;
  END IF;
  EXECUTE format(
    'ALTER ROLE evermuse_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %L',
    current_setting('evermuse.application_password'));
  -- REASSIGN OWNED refuses the first superuser's objects. A column's own sequence follows its table. A partition does not.
  FOR found IN
    SELECT c.oid::regclass AS name FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
      AND c.relowner <> 'evermuse_app'::regrole
      AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND (d.deptype = 'e' OR (c.relkind = 'S' AND d.deptype IN ('a', 'i'))))
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO evermuse_app', found.name);
  END LOOP;
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proowner <> 'evermuse_app'::regrole
      AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO evermuse_app', found.name);
  END LOOP;
  EXECUTE format('ALTER DATABASE %I OWNER TO evermuse_app', current_database());
END $$;
