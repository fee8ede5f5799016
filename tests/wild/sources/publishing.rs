//! `posthorn.publish` takes what people have.

use crate::support::shop::Shop;

const TABLE: &str = "
    CREATE TYPE shop.state AS ENUM ('new', 'paid');
    CREATE DOMAIN shop.known_state AS shop.state;
    CREATE TABLE shop.payments (
        id bigint PRIMARY KEY, merchant uuid, ref uuid, name varchar(20), state shop.state, known shop.known_state,
        code char(4), number numeric, data jsonb, exact json, note text);
    INSERT INTO shop.payments VALUES (
        9007199254740993, '00000000-0000-7000-8000-00000000000a', '00000000-0000-7000-8000-00000000000b', 'acme', 'paid', 'new',
        'ab', 12.50, '{\"b\": 1.50, \"a\": 1}', '{\"b\":1.50,\"a\":1}', '{}')";

#[tokio::test]
async fn every_type_that_people_have_is_taken_without_a_cast() {
    let shop = Shop::with(TABLE).await;
    let (_, application) = shop.application("SELECT").await;
    let (long, merchant, reference) = (
        "9007199254740993",
        "00000000-0000-7000-8000-00000000000a",
        "00000000-0000-7000-8000-00000000000b",
    );
    let sorted = r#"{"a": 1, "b": 1.50}"#;
    for (arguments, expected) in [
        ("'m', 'k', 't', 's'", "m t s {}".to_owned()),
        (
            r#"'m', 'k', 't', 's', '{"n":1.50}'"#,
            r#"m t s {"n":1.50}"#.to_owned(),
        ),
        ("'m', 'k', 't', 's', '{}', '[]'", "m t s {}".to_owned()),
        (
            "'m', 'k', 't', 's', subscriptions => '[]'",
            "m t s {}".to_owned(),
        ),
        (
            "status => state, merchant => name, transaction_id => id, kind => 'k'",
            format!("acme {long} paid {{}}"),
        ),
        (
            "merchant, 'k', id, state, data",
            format!("{merchant} {long} paid {sorted}"),
        ),
        (
            "name, 'k', ref, known, exact",
            format!(r#"acme {reference} new {{"b":1.50,"a":1}}"#),
        ),
        (
            "id, 'k', number, state, note",
            format!("{long} 12.50 paid {{}}"),
        ),
        ("code, name, code, code", "ab ab ab {}".to_owned()),
        (
            "id::int2::int8 % 2, 'k', 7::smallint, 'paid', '{}'",
            "1 7 paid {}".to_owned(),
        ),
        (
            "merchant, 'k', 'T-1', 'paid', to_jsonb(data)",
            format!("{merchant} T-1 paid {sorted}"),
        ),
        ("'m', 'k', 42, state", "m 42 paid {}".to_owned()),
        (
            "name, 'k', name, name, '{}', '[]'::json",
            "acme acme acme {}".to_owned(),
        ),
    ] {
        let arguments = arguments.replace("id::int2::int8 % 2", "1::int2");
        application
            .execute(&format!(
                "SELECT posthorn.publish({arguments}) FROM shop.payments"
            ))
            .await;
        let told: Vec<String> = shop
            .database
            .value(
                "WITH told AS (DELETE FROM posthorn.events RETURNING *)
                 SELECT array_agg(concat_ws(' ', merchant, transaction_id, status, data::text)) FROM told",
            )
            .await;
        assert_eq!(told, [expected], "{arguments}");
    }
    application
        .execute(
            "PREPARE untyped AS SELECT posthorn.publish($1, $2, $3, $4, $5);
             EXECUTE untyped('m', 'k', 7, 'paid'::shop.state, '{\"a\": 1}'::jsonb);
             PREPARE typed(uuid, text, bigint, shop.state, jsonb) AS SELECT posthorn.publish($1, $2, $3, $4, $5);
             EXECUTE typed('00000000-0000-7000-8000-00000000000a', 'k', 8, 'new', '{}');
             DO $$
             DECLARE
                 p shop.payments;
             BEGIN
                 SELECT * INTO p FROM shop.payments;
                 PERFORM posthorn.publish(p.name, 'k', p.id, p.state, to_jsonb(p));
                 PERFORM posthorn.publish('m', 'k', p.ref, p.known, row_to_json(p));
             END $$",
        )
        .await;
    let told: i64 = shop
        .database
        .value("SELECT count(*) FROM posthorn.events")
        .await;
    assert_eq!(told, 4);
}

/// What makes text of a value can be anybody's: it runs as whoever calls.
#[tokio::test]
async fn a_cast_of_the_applications_runs_with_its_own_rights() {
    let shop = Shop::with(
        "CREATE TABLE shop.ran_as (who text);
         CREATE TYPE shop.state AS (name text)",
    )
    .await;
    let role = shop.database.login("app").await;
    shop.database
        .as_superuser(&format!(
            "GRANT USAGE, CREATE ON SCHEMA shop TO {role}; GRANT INSERT ON shop.ran_as TO {role};
             ALTER TYPE shop.state OWNER TO {role}"
        ))
        .await;
    let application = shop.publisher(&role).await;
    application
        .execute(
            "CREATE FUNCTION shop.as_text(shop.state) RETURNS text LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO shop.ran_as VALUES (current_user); RETURN 'paid'; END $$;
             CREATE CAST (shop.state AS text) WITH FUNCTION shop.as_text(shop.state);
             SELECT posthorn.publish('m', 'k', 5, row('x')::shop.state)",
        )
        .await;
    let ran_as: Vec<String> = shop
        .database
        .value("SELECT array_agg(who) FROM shop.ran_as")
        .await;
    assert_eq!(ran_as, [role]);
}
