//! What a row carries: too much of it, numbers that a receiver rounds, names that are odd.

use crate::support::shop::Shop;

impl Shop {
    /// The reasons of what was recorded.
    async fn reasons(&self) -> Vec<String> {
        self.database
            .value(
                "SELECT coalesce(array_agg(concat_ws(' ', key::text, sqlstate, reason) ORDER BY id), '{}') FROM posthorn.source_failures",
            )
            .await
    }
}

#[tokio::test]
async fn a_row_that_is_too_large_for_an_event_does_not_fail_the_payment() {
    let shop = Shop::new().await;
    for on_failure in ["block", "record"] {
        let said = shop
            .attach("shop.payments", &["--on-failure", on_failure])
            .await;
        assert!(!said.contains("any length"), "{said}");
        shop.run(
            "INSERT INTO shop.payments VALUES (1, 'm', 'new', 1, repeat('x', 2097152)), (2, 'm', 'new', 1, 'x');
             UPDATE shop.payments SET status = 'paid'",
        )
        .await;
        assert_eq!(
            shop.told().await,
            ["m payments 2 new", "m payments 2 paid"],
            "{on_failure}"
        );
        let reasons = shop.reasons().await;
        assert_eq!(reasons.len(), 2);
        assert!(
            reasons[0]
                .starts_with(r#"{ "id" : 1 } 54000 the data of a row of shop.payments is 2097"#)
                && reasons[0].ends_with("bytes long; an event takes at most 1048576"),
            "{reasons:?}"
        );
        shop.run("TRUNCATE posthorn.source_failures; TRUNCATE shop.payments")
            .await;
    }
    // Far more than one setting of a transaction could hold.
    shop.attach("shop.payments", &[]).await;
    shop.run("INSERT INTO shop.payments SELECT n, 'm', 'new', 1, repeat('x', 20000000) FROM generate_series(1, 30) AS n")
        .await;
    assert_eq!(shop.reasons().await.len(), 30);
    let said = shop.attach("shop.payments", &[]).await;
    assert!(
        said.contains("merchant_id, status, note can be of any length")
            && said.contains("--data names"),
        "{said}"
    );
    let said = shop.attach("shop.payments", &["--data", "id,amount"]).await;
    assert!(!said.contains("any length"), "{said}");
    shop.run("UPDATE shop.payments SET status = 'paid' WHERE id = 1")
        .await;
    assert_eq!(shop.told().await, ["m payments 1 paid"]);
}

#[tokio::test]
async fn numbers_that_javascript_rounds_can_travel_as_text() {
    let shop = Shop::with(
        r#"CREATE TABLE shop.payments (id bigint PRIMARY KEY, merchant_id text, status text, amount numeric,
                                       fee numeric(12, 2), n int, at timestamptz, "a:text" int)"#,
    )
    .await;
    let said = shop.attach("shop.payments", &[]).await;
    assert!(
        said.contains("id, amount can hold numbers of more than 53 bits, which JavaScript rounds; --data '*,id:text,amount:text' sends"),
        "{said}"
    );
    let row = "INSERT INTO shop.payments VALUES (9007199254740993, 'm', 'new', 12345678901234567.10, 1.50, 3, '2026-01-01 00:00:00+00', NULL);
               DELETE FROM shop.payments";
    for (data, expected) in [
        (
            "id:text,amount",
            r#"{"id":"9007199254740993","amount":12345678901234567.10}"#,
        ),
        (
            "n,amount:text,at:text",
            r#"{"n":3,"amount":"12345678901234567.10","at":"2026-01-01T00:00:00+00:00"}"#,
        ),
        (
            "*,id:text,at:text,a:text:text",
            r#"{ "id" : "9007199254740993", "merchant_id" : "m", "status" : "new", "amount" : 12345678901234567.10, "fee" : 1.50, "n" : 3, "at" : "2026-01-01T00:00:00+00:00", "a:text" : null }"#,
        ),
    ] {
        for on_failure in ["block", "record"] {
            let said = shop
                .attach(
                    "shop.payments",
                    &["--data", data, "--on-failure", on_failure],
                )
                .await;
            assert!(!said.contains("id,") || !said.contains("53 bits"), "{said}");
            shop.run(row).await;
            assert_eq!(shop.data().await, [expected]);
            assert!(shop.list().await.contains(data), "{}", shop.list().await);
        }
    }
    for (data, message) in [
        ("idd:text", "--data idd: shop.payments has no such column"),
        ("*,id", "--data id: * has it already"),
    ] {
        let said = shop
            .attach_refused("shop.payments", &["--data", data])
            .await;
        assert!(said.contains(message), "{said}");
    }
}

#[tokio::test]
async fn sources_with_odd_names_are_detached() {
    let odd = [
        "it's",
        "a b",
        "1st",
        r#"say "hi""#,
        "a.b.c.d",
        "käse(1)",
        "null",
        "ab\\c",
    ];
    let shop = Shop::new().await;
    for name in odd {
        shop.attach("shop.payments", &["--name", name, "--kind", "k"])
            .await;
    }
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new')")
        .await;
    assert_eq!(shop.told().await.len(), odd.len());
    assert!(!shop.list().await.contains('!'), "{}", shop.list().await);
    for name in odd {
        let (status, said) = shop.source_with("detach", &[name]).await;
        assert!(status.success(), "{name}: {said}");
        let (status, said) = shop.source_with("detach", &[name]).await;
        assert_eq!(status.code(), Some(1), "{name}: {said}");
        assert!(
            said.contains("there is no source of the name or the table"),
            "{said}"
        );
    }
    for table in odd {
        let (status, said) = shop
            .source_with(
                "attach --merchant merchant_id --id id --status status --name x",
                &[table],
            )
            .await;
        assert_eq!(status.code(), Some(1), "{said}");
    }
    let made: i64 = shop
        .database
        .value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'posthorn%' AND tgrelid = 'shop.payments'::regclass")
        .await;
    assert_eq!(made, 0);
}
