//! What is told is a function of the row: the session that changes it has no say.

use sqlx::Connection;

use crate::support::shop::Shop;

/// Settings that change what a value looks like, or how an expression is read.
const ODD: [&str; 13] = [
    "SET TimeZone = 'Asia/Kolkata'",
    "SET DateStyle = 'German, DMY'",
    "SET IntervalStyle = 'sql_standard'",
    "SET extra_float_digits = -15",
    "SET bytea_output = 'escape'",
    "SET xmlbinary = 'hex'",
    "SET lc_monetary = 'en_US.UTF-8'",
    "SET quote_all_identifiers = on",
    "SET standard_conforming_strings = off",
    "SET transform_null_equals = on",
    "SET default_text_search_config = 'pg_catalog.german'",
    "SET array_nulls = off",
    "SET search_path = shop, public",
];

#[tokio::test]
async fn one_change_is_told_in_the_same_bytes_whatever_the_session_sets() {
    let shop = Shop::with(
        r"CREATE TABLE shop.payments (
              id timestamptz PRIMARY KEY, merchant_id text, status text, double float8, single float4, photo bytea,
              wait interval, paid money, day date, tables regclass, note text, numbers float8[], span tstzrange,
              pair point, seen timestamp)",
    )
    .await;
    let data = r"json_build_object('row', to_jsonb(new.*), 'id', new.id::text, 'day', new.day::text,
                     'double', new.double::text, 'wait', new.wait::text, 'span', new.span::text, 'paid', new.paid::text,
                     'us', '01/02/2026'::date::text, 'none', new.note = NULL, 'slash', 'a\b', 'nulls', '{NULL}'::text[],
                     'photo', new.photo::text, 'xml', xmlelement(name b, new.photo)::text, 'words', to_tsvector('the houses')::text,
                     'hour', to_char(new.id, 'HH24:MI TZ'), 'table', new.tables::text)";
    for options in [
        &["--on-failure", "block"][..],
        &["--on-failure", "record"],
        &["--data-sql", data],
    ] {
        shop.attach("shop.payments", options).await;
        let mut told: Vec<Vec<String>> = vec![];
        for odd in std::iter::once("SELECT 1").chain(ODD) {
            let mut session = sqlx::PgConnection::connect(&shop.database.url)
                .await
                .unwrap();
            // A server without the locale takes no harm of it.
            let _ = sqlx::raw_sql(odd).execute(&mut session).await;
            sqlx::raw_sql(
                r"INSERT INTO shop.payments VALUES (
                      timestamptz '2026-03-01 12:00:00.123456+00', 'm', 'new', float8 '0.1' + float8 '0.2', float4 '1.1', decode('00ff', 'hex'),
                      interval 'P1DT2H', numeric '1234.5'::money, date '2026-02-01', 'pg_catalog.pg_class', 'x', ARRAY[float8 '0.3' - float8 '0.1'],
                      tstzrange(timestamptz '2026-03-01 00:00:00+00', NULL), point(0.1, 0.2), timestamp '2026-03-01 01:02:03');
                  UPDATE shop.payments SET status = 'paid';
                  DELETE FROM shop.payments",
            )
            .execute(&mut session)
            .await
            .unwrap();
            let all: Vec<String> = shop
                .database
                .value(
                    "WITH told AS (DELETE FROM posthorn.events RETURNING *)
                     SELECT array_agg(concat_ws(' ', transaction_id, status, data::text) ORDER BY id) FROM told",
                )
                .await;
            assert_eq!(all.len(), 2, "{odd}");
            told.push(all);
            assert_eq!(told.last(), told.first(), "{odd}");
        }
        let first = &told[0][0];
        assert!(
            first.starts_with("2026-03-01 12:00:00.123456+00 new "),
            "{first}"
        );
        assert!(first.contains("0.30000000000000004"), "{first}");
        assert!(first.contains(r"\\x00ff"), "{first}");
    }
}
