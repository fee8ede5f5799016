//! Types of extensions compare as they do in psql, or attaching says what to write.

use crate::support::shop::{NOTHING, Shop};

const PAYMENTS: &str = "CREATE TABLE shop.payments (
    id bigint PRIMARY KEY, merchant_id text, status text, country EXT.citext)";

async fn shop(schema: &str, tables: &str) -> Shop {
    let shop = Shop::with("").await;
    shop.database
        .as_superuser(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
             CREATE EXTENSION citext SCHEMA {schema};
             CREATE EXTENSION ltree SCHEMA {schema};
             CREATE EXTENSION isn SCHEMA {schema}"
        ))
        .await;
    shop.run(&tables.replace("EXT", schema)).await;
    shop
}

/// Runs something as a role that may create beside the extensions.
async fn as_a_stranger(shop: &Shop, sql: &str) {
    let role = format!("stranger_{}", shop.database.name);
    shop.database
        .as_superuser(&format!(
            "CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role}; SET ROLE {role}; {sql}"
        ))
        .await;
}

#[tokio::test]
async fn a_citext_compares_as_in_psql() {
    for schema in ["public", "\"My Extensions\""] {
        let shop = shop(
            schema,
            "CREATE TABLE shop.payments (id bigint PRIMARY KEY, merchant_id text, status text, country EXT.citext, raw text)",
        )
        .await;
        let explicit = format!("new.raw::{schema}.citext = 'de'");
        for condition in [
            "new.country = 'de'",
            "new.country IN ('de', 'at') -- both",
            "new.country LIKE 'D%'",
            "coalesce(new.country, '') BETWEEN 'DE' AND 'dE'",
            "EXISTS (SELECT FROM shop.payments p WHERE p.id = new.id AND p.country = 'dE')",
            explicit.as_str(),
        ] {
            shop.attach("shop.payments", &["--when", condition]).await;
            shop.run(
                "INSERT INTO shop.payments VALUES (1, 'm', 'new', 'DE', 'DE'), (2, 'm', 'new', 'de', 'de'), (3, 'm', 'new', 'fr', 'fr');
                 DELETE FROM shop.payments",
            )
            .await;
            assert_eq!(
                shop.told().await,
                ["m payments 1 new", "m payments 2 new"],
                "{schema}: {condition}"
            );
            // The command that makes it has what was written.
            let written = condition.replace('\'', r"'\''");
            assert!(
                shop.list().await.contains(&written),
                "{}",
                shop.list().await
            );
        }
    }
}

#[tokio::test]
async fn a_kind_and_the_data_compare_so_too() {
    let shop = shop("public", PAYMENTS).await;
    shop.attach(
        "shop.payments",
        &[
            "--kind-sql",
            "CASE WHEN new.country = 'de' THEN 'home' ELSE 'abroad' END",
            "--data-sql",
            "json_build_object('home', new.country = 'de')",
        ],
    )
    .await;
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new', 'DE')")
        .await;
    let told: String = shop
        .database
        .value("SELECT kind || data::text FROM posthorn.events")
        .await;
    assert_eq!(told, r#"home{"home" : true}"#);
}

#[tokio::test]
async fn a_key_of_an_extensions_type_does() {
    let shop = shop(
        "public",
        "CREATE TABLE shop.by_path (id EXT.ltree PRIMARY KEY, merchant_id text, status text);
         CREATE TABLE shop.by_isbn (id EXT.isbn13 PRIMARY KEY, merchant_id text, status text);
         CREATE DOMAIN shop.code AS EXT.citext;
         CREATE TABLE shop.by_code (id shop.code PRIMARY KEY, merchant_id text, status text);
         CREATE TABLE shop.by_two (id EXT.ltree, n int, note text, merchant_id text, status text,
                                   PRIMARY KEY (n, id) INCLUDE (note))",
    )
    .await;
    for (table, id, told) in [
        ("by_path", "a.b", "a.b"),
        ("by_isbn", "978-0-11-000533-1", "978-0-11-000533-1"),
        ("by_code", "Ab", "Ab"),
        ("by_two", "a.b", "a.b"),
    ] {
        let name = format!("shop.{table}");
        for on_failure in ["block", "record"] {
            shop.attach(&name, &["--on-failure", on_failure]).await;
            shop.run(&format!(
                "INSERT INTO {name} (id, merchant_id, status {0}) VALUES ('{id}', 'm', 'new' {1});
                 UPDATE {name} SET status = 'paid';
                 UPDATE {name} SET status = 'paid';
                 DELETE FROM {name}",
                if table == "by_two" { ", n, note" } else { "" },
                if table == "by_two" { ", 1, 'a'" } else { "" },
            ))
            .await;
            assert_eq!(
                shop.told().await,
                [
                    format!("m {table} {told} new"),
                    format!("m {table} {told} paid")
                ]
            );
        }
    }
    shop.attach("shop.by_path", &["--when", "new.id <@ 'a.b'"])
        .await;
    shop.run("INSERT INTO shop.by_path VALUES ('a.b.c', 'm', 'new'), ('a.c', 'm', 'new')")
        .await;
    assert_eq!(shop.told().await, ["m by_path a.b.c new"]);
}

/// PostgreSQL writes the schema of an operator, but not in these places.
#[tokio::test]
async fn a_comparison_that_cannot_be_written_out_is_refused() {
    let shop = shop("public", PAYMENTS).await;
    for condition in [
        "new.country IS NOT DISTINCT FROM 'dE'",
        "new.country = 'fr' OR new.country IS DISTINCT FROM 'dE'",
        "NULLIF(new.country, 'de') IS NULL",
        "CASE new.country WHEN 'de' THEN true END",
    ] {
        let said = shop
            .attach_refused("shop.payments", &["--when", condition])
            .await;
        assert!(said.contains("compare them by =, such as"), "{said}");
    }
}

/// Who may create beside the extension makes an operator that would fit better.
#[tokio::test]
async fn an_operator_of_anybody_elses_is_refused_at_attach() {
    let shop = shop("public", PAYMENTS).await;
    as_a_stranger(
        &shop,
        "CREATE FUNCTION public.same(public.citext, text) RETURNS boolean LANGUAGE sql RETURN true;
         CREATE OPERATOR public.= (LEFTARG = public.citext, RIGHTARG = text, FUNCTION = public.same)",
    )
    .await;
    let said = shop
        .attach_refused("shop.payments", &["--when", "new.country = 'de'::text"])
        .await;
    assert!(
        said.contains("--when: the operator public.=(public.citext,text) belongs to no extension"),
        "{said}"
    );
    shop.attach(
        "shop.payments",
        &[
            "--when",
            "new.country OPERATOR(public.=) 'de'::public.citext",
        ],
    )
    .await;
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new', 'DE'), (2, 'm', 'new', 'fr')")
        .await;
    assert_eq!(shop.told().await, ["m payments 1 new"]);
}

/// Nothing is read where somebody else has a domain: then the operators have to be said.
#[tokio::test]
async fn what_cannot_be_looked_up_has_to_be_said() {
    let shop = shop("public", PAYMENTS).await;
    as_a_stranger(&shop, "CREATE DOMAIN public.tag AS text").await;
    let said = shop
        .attach_refused("shop.payments", &["--when", "new.country = 'de'"])
        .await;
    assert!(said.contains("--when: country is a"), "{said}");
    assert_eq!(shop.told().await, NOTHING);
    shop.attach(
        "shop.payments",
        &["--when", "new.country OPERATOR(public.=) 'de'"],
    )
    .await;
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new', 'DE')")
        .await;
    assert_eq!(shop.told().await, ["m payments 1 new"]);
}
