//! A stranger puts a thing of the same name beside everything of PostgreSQL's, in the schema
//! `public`, and the database and the roles look there first: until PostgreSQL 14 everybody may
//! create there, and a database that was upgraded from it may have kept that.

use serde_json::json;

use crate::server::{Server, unbent};
use crate::support::{Database, Setup, posthorn, receiver};

/// Everything records who called it, and then does what the real thing does: whoever calls one
/// of these has run a stranger's code with his own rights.
const SHADOWS: &str = r"
    SET search_path = pg_catalog;
    CREATE TABLE public.caught (who text, what text, PRIMARY KEY (who, what));
    GRANT INSERT, SELECT ON public.caught TO PUBLIC;
    CREATE FUNCTION public.catches(what text) RETURNS boolean
        LANGUAGE plpgsql SET search_path = pg_catalog
        AS 'BEGIN
            INSERT INTO public.caught VALUES (current_user, what) ON CONFLICT DO NOTHING;
            RETURN true;
        END';
    CREATE FUNCTION pg_temp.is_plain(type oid) RETURNS boolean LANGUAGE sql
        RETURN (SELECT typtype <> 'p' FROM pg_type WHERE oid = type);
    DO $$
    DECLARE
        f record;
        o record;
        r record;
        t text;
    BEGIN
        FOR f IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS arguments,
                        format_type(p.prorettype, NULL) AS result, p.pronargs
                   FROM pg_proc p
                  WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
                    AND p.provariadic = 0 AND p.proargmodes IS NULL AND pg_temp.is_plain(p.prorettype)
                    AND (SELECT coalesce(bool_and(pg_temp.is_plain(a)), true) FROM unnest(p.proargtypes) AS a)
        LOOP
            EXECUTE format(
                'CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS
                 $f$BEGIN PERFORM public.catches(%L); RETURN pg_catalog.%I(%s); END$f$',
                f.proname, f.arguments, f.result, f.proname, f.proname,
                (SELECT string_agg('$' || n, ', ' ORDER BY n) FROM generate_series(1, f.pronargs) AS n));
        END LOOP;
        FOR o IN SELECT oid, oprname, format_type(oprleft, NULL) AS l, format_type(oprright, NULL) AS r,
                        format_type(oprresult, NULL) AS result
                   FROM pg_operator
                  WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b' AND pg_temp.is_plain(oprleft)
                    AND pg_temp.is_plain(oprright) AND pg_temp.is_plain(oprresult)
        LOOP
            EXECUTE format(
                'CREATE FUNCTION public.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS
                 $f$BEGIN PERFORM public.catches(%L); RETURN $1 OPERATOR(pg_catalog.%s) $2; END$f$;
                 CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.operator_%s)',
                o.oid, o.l, o.r, o.result, o.oprname, o.oprname, o.oprname, o.l, o.r, o.oid);
        END LOOP;
        FOR r IN SELECT relname, (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
                                    FROM pg_attribute
                                   WHERE attrelid = c.oid AND (attnum > 0 OR attname = 'oid')
                                     AND pg_temp.is_plain(atttypid)) AS columns
                   FROM pg_class c
                  WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
                    AND has_table_privilege(oid, 'SELECT')
        LOOP
            EXECUTE format('CREATE VIEW public.%I AS SELECT %s FROM pg_catalog.%I WHERE public.catches(%L)',
                           r.relname, r.columns, r.relname, r.relname);
            EXECUTE format('GRANT SELECT ON public.%I TO PUBLIC', r.relname);
        END LOOP;
        FOREACH t IN ARRAY ARRAY['text', 'json', 'jsonb', 'uuid', 'bytea', 'timestamptz', 'date', 'regclass', 'xid8', 'inet']
        LOOP
            EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.%I CHECK (public.catches(%L))', t, t, t);
        END LOOP;
    END $$";

const CAUGHT: &str = "SELECT coalesce(pg_catalog.array_agg(who OPERATOR(pg_catalog.||) ' ran ' OPERATOR(pg_catalog.||) what), '{}')
                        FROM public.caught WHERE who OPERATOR(pg_catalog.<>) 'application'";

pub async fn nothing_of_anybody_elses_is_called(server: &Server) {
    let database = server.empty("shadowed").await;
    for role in ["stranger", "application", "sender"] {
        server.role(role).await;
    }
    database
        .as_superuser("GRANT CREATE ON SCHEMA public TO PUBLIC")
        .await;
    Database::connect("shadowed", database.url_of("stranger"))
        .execute(SHADOWS)
        .await;
    database
        .as_superuser(
            "ALTER DATABASE shadowed SET search_path = public, pg_catalog;
             ALTER ROLE posthorn IN DATABASE shadowed SET search_path = public, pg_catalog;
             ALTER ROLE sender IN DATABASE shadowed SET search_path = public, pg_catalog;
             ALTER ROLE application IN DATABASE shadowed SET search_path = public, pg_catalog",
        )
        .await;
    // It is a trap: whoever looks around without a path of his own falls into it.
    let application = Database::connect("shadowed", database.url_of("application"));
    application.execute("SELECT lower('A') = 'a'").await;
    let caught: Vec<String> = database
        .value("SELECT pg_catalog.array_agg(what ORDER BY what COLLATE \"C\") FROM public.caught")
        .await;
    assert_eq!(caught, ["=", "lower"]);

    run(&["migrate"], &database).await;
    run(&["grant", "--worker", "sender"], &database).await;
    run(&["grant", "--publisher", "application"], &database).await;
    let unbent = unbent(&database);
    unbent
        .execute(
            "CREATE SCHEMA shop;
             CREATE TABLE shop.payments (id int PRIMARY KEY, merchant text, status text)",
        )
        .await;
    let attach =
        "source attach shop.payments --merchant=merchant --id=id --status=status --when new.id>0";
    run(&attach.split(' ').collect::<Vec<_>>(), &database).await;
    let receiver = receiver().await;
    let settings = json!({"url": receiver.url("/hook")});
    unbent.subscribe("acme", "orders", settings).await;
    for (count, pooler) in [(2, false), (4, true)] {
        let mut worker = Setup::with_url(&database.url_of("sender"))
            // A worker brings the path with each transaction, or once with its session.
            .toml(&format!("database.transaction_pooler = {pooler}"))
            .toml(&format!(
                "[[subscription]]\nmerchant = 'globex'\nname = 'file'\nurl = '{}'",
                receiver.url("/file")
            ))
            .start()
            .await;
        unbent.publish("acme", "t1", "approved", "{}").await;
        unbent
            .execute(&format!(
                "INSERT INTO shop.payments VALUES ({count}, 'acme', 'paid')"
            ))
            .await;
        unbent.count_reaches("delivered", count).await;
        assert!(worker.sigterm().await.success());
    }
    application
        .execute("SELECT posthorn.publish('acme', 'k', 't', 's')")
        .await;
    run(&["status"], &database).await;
    run(&["source", "detach", "shop.payments"], &database).await;
    run(&["migrate"], &database).await;
    let caught: Vec<String> = unbent.value(CAUGHT).await;
    assert_eq!(caught, Vec::<String>::new(), "{}", server.major);
}

async fn run(arguments: &[&str], database: &Database) {
    let (status, said) = posthorn(&[arguments, &["--database-url", &database.url]].concat()).await;
    assert!(status.success(), "{arguments:?}: {said}");
}
