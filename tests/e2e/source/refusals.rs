//! What cannot be a source, and is told what to do.

use posthorn::demo::postgres::OWNER;

use super::{NOTHING, Shop};
use crate::support::{Database, posthorn};

impl Shop {
    /// What `attach` says when it refuses. Options replace those of the same name.
    async fn refuses(&self, table: &str, options: &[&str]) -> String {
        let columns = ["--merchant=merchant_id", "--id=id", "--status=status"];
        let name = |option: &str| option.split('=').next().map(str::to_owned);
        let mut arguments = vec![table];
        arguments.extend(
            columns
                .iter()
                .filter(|column| !options.iter().any(|option| name(option) == name(column))),
        );
        arguments.extend(options);
        let (status, said) = self.source_with("attach", &arguments).await;
        assert_eq!(status.code(), Some(1), "{table} {options:?}: {said}");
        said
    }
}

#[tokio::test]
async fn what_cannot_be_a_source_is_refused_with_the_remedy() {
    let shop = Shop::new().await;
    shop.database
        .as_superuser(&format!(
            "CREATE FOREIGN DATA WRAPPER nowhere;
             CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
             GRANT USAGE ON FOREIGN SERVER nowhere TO {OWNER}"
        ))
        .await;
    shop.run(
        "CREATE TABLE shop.keyless (id int, merchant_id text, status text);
         CREATE VIEW shop.seen AS TABLE shop.payments;
         CREATE MATERIALIZED VIEW shop.kept AS TABLE shop.payments;
         CREATE SEQUENCE shop.numbers;
         CREATE TABLE shop.parted (id int PRIMARY KEY, merchant_id text, status text) PARTITION BY RANGE (id);
         CREATE TABLE shop.part PARTITION OF shop.parted DEFAULT;
         CREATE TABLE shop.child () INHERITS (shop.payments);
         CREATE FOREIGN TABLE shop.far (id int, merchant_id text, status text) SERVER nowhere",
    )
    .await;
    for (table, message) in [
        (
            "shop.missing",
            "the database has no table \"shop.missing\"; give it as SQL would have it",
        ),
        ("shop.a.b.c", "the database has no table \"shop.a.b.c\""),
        (
            "shop.seen",
            "shop.seen is a view; name the table that it reads",
        ),
        ("shop.kept", "shop.kept is a view"),
        ("shop.numbers", "shop.numbers is no table"),
        ("shop.far", "shop.far is a foreign table"),
        (
            "shop.keyless",
            "shop.keyless has no primary key, by which a row's old and new status are told to be of one row; \
             give it one with ALTER TABLE … ADD PRIMARY KEY",
        ),
        (
            "shop.part",
            "shop.part is a partition of shop.parted; name that",
        ),
        (
            "shop.child",
            "shop.child has parents or children by INHERITS",
        ),
        ("shop.payments", "has parents or children by INHERITS"),
        ("posthorn.events", "posthorn.events is Posthorn's own"),
    ] {
        let said = shop.refuses(table, &[]).await;
        assert!(said.contains(message), "{table}: {said}");
    }
    nothing_was_attached(&shop).await;
}

#[tokio::test]
async fn what_does_not_fit_the_table_is_refused_by_the_option_that_says_it() {
    let shop = Shop::new().await;
    for (option, message) in [
        (
            "--status=state",
            "--status state: shop.payments has no such column; it has id, merchant_id, status, amount, note",
        ),
        (
            "--data=id,amont",
            "--data amont: shop.payments has no such column",
        ),
        (
            "--when=new.amont > 0",
            "--when: column new.amont does not exist; write SQL over the rows new and old",
        ),
        (
            "--when=status = 'new'",
            "--when: column reference \"status\" is ambiguous",
        ),
        (
            "--when=new.status",
            "--when: argument of WHERE must be type boolean",
        ),
        (
            "--when=true); DROP TABLE shop.payments; --",
            "--when: syntax error at or near",
        ),
        (
            "--when=count(*) > 1",
            "--when: aggregate functions are not allowed in WHERE",
        ),
        (
            "--kind-sql=max(new.status)",
            "--kind-sql: column \"new.tableoid\" must appear",
        ),
        (
            "--kind-sql=my_kind(new.status)",
            "--kind-sql: function my_kind(text) does not exist",
        ),
        (
            "--data-sql=new.amount",
            "--data-sql: it gives numeric, not json; put it into to_json",
        ),
        (
            "--data-sql=json_array_elements(to_json(new.note))",
            "--data-sql: set-returning functions are not allowed in CASE",
        ),
        ("--name=", "give one of 1 to 40 by --name"),
        ("--kind=", "--kind has 0 bytes; give 1 to 1000"),
    ] {
        let said = shop.refuses("shop.payments", &[option]).await;
        assert!(said.contains(message), "{option}: {said}");
    }
    nothing_was_attached(&shop).await;
}

async fn nothing_was_attached(shop: &Shop) {
    assert!(shop.list().await.contains("there are no sources"));
    let made: i64 = shop
        .database
        .value(
            "SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'posthorn%')
                  + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'source\\_%' AND prorettype = 'trigger'::regtype)",
        )
        .await;
    assert_eq!(made, 0);
}

#[tokio::test]
async fn a_name_is_of_one_table() {
    let shop = Shop::new().await;
    shop.run("CREATE TABLE public.payments (LIKE shop.payments INCLUDING ALL)")
        .await;
    shop.attach("shop.payments", &[]).await;
    let said = shop.refuses("public.payments", &[]).await;
    assert!(
        said.contains(
            "the source payments is attached to shop.payments; choose another name for this one by --name"
        ),
        "{said}"
    );
    shop.attach("public.payments", &["--name", "others"]).await;
    let (status, said) = shop.source("detach shop.other").await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("no source of the name or the table \"shop.other\""),
        "{said}"
    );
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let shop = Shop::new().await;
    let role = shop.database.login("nobody").await;
    shop.run(&format!(
        "GRANT USAGE ON SCHEMA shop TO {role}; GRANT SELECT ON shop.payments TO {role}"
    ))
    .await;
    let url = shop.database.url_of(&role);
    let (status, said) = posthorn(&[
        "source",
        "attach",
        "shop.payments",
        "--merchant",
        "merchant_id",
        "--id",
        "id",
        "--status",
        "status",
        "--database-url",
        &url,
    ])
    .await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("connect as a role that owns the table"),
        "{said}"
    );

    let empty = Database::empty().await;
    let (status, said) = posthorn(&["source", "list", "--database-url", &empty.url]).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("run `posthorn migrate` first"), "{said}");
}

#[tokio::test]
async fn a_table_in_use_is_not_waited_for() {
    let shop = Shop::new().await;
    let mut business = shop.database.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO shop.payments VALUES (1, 'm', 'new')")
        .execute(&mut *business)
        .await
        .unwrap();
    let (status, said) = shop
        .source("attach shop.payments --merchant merchant_id --id id --status status")
        .await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("shop.payments is locked by a transaction that does not end within a second"),
        "{said}"
    );
    business.commit().await.unwrap();
    assert_eq!(shop.told().await, NOTHING);
    shop.attach("shop.payments", &[]).await;
    shop.run("UPDATE shop.payments SET status = 'paid'").await;
    assert_eq!(shop.told().await, ["m payments 1 paid"]);
}
