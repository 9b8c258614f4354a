-- Run once as superuser, when the database is made; harmless twice. `closeloop migrate` owns every schema;
-- a service reads and writes the rows of its own schema and of `access`, and can change no table.
DO $$ BEGIN CREATE ROLE closeloop_collector NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE closeloop_scorer NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE closeloop_segmenter NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE closeloop_notifier NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON DATABASE closeloop FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS access AUTHORIZATION closeloop_migrate;

CREATE SCHEMA IF NOT EXISTS collector AUTHORIZATION closeloop_migrate;
GRANT CONNECT ON DATABASE closeloop TO closeloop_collector;
GRANT USAGE ON SCHEMA collector, access TO closeloop_collector;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA collector, access
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO closeloop_collector;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA collector, access
    GRANT USAGE, SELECT ON SEQUENCES TO closeloop_collector;

CREATE SCHEMA IF NOT EXISTS scorer AUTHORIZATION closeloop_migrate;
GRANT CONNECT ON DATABASE closeloop TO closeloop_scorer;
GRANT USAGE ON SCHEMA scorer, access TO closeloop_scorer;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA scorer, access
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO closeloop_scorer;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA scorer, access
    GRANT USAGE, SELECT ON SEQUENCES TO closeloop_scorer;

CREATE SCHEMA IF NOT EXISTS segmenter AUTHORIZATION closeloop_migrate;
GRANT CONNECT ON DATABASE closeloop TO closeloop_segmenter;
GRANT USAGE ON SCHEMA segmenter, access TO closeloop_segmenter;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA segmenter, access
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO closeloop_segmenter;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA segmenter, access
    GRANT USAGE, SELECT ON SEQUENCES TO closeloop_segmenter;

CREATE SCHEMA IF NOT EXISTS notifier AUTHORIZATION closeloop_migrate;
GRANT CONNECT ON DATABASE closeloop TO closeloop_notifier;
GRANT USAGE ON SCHEMA notifier, access TO closeloop_notifier;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA notifier, access
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO closeloop_notifier;
ALTER DEFAULT PRIVILEGES FOR ROLE closeloop_migrate IN SCHEMA notifier, access
    GRANT USAGE, SELECT ON SEQUENCES TO closeloop_notifier;
