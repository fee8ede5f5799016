//! Socket.IO (WIRE.md 3.1 and 3.5), with the clients that are made by its authors.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{ask, http};
use crate::clients::Client;
use crate::support::{Database, Setup, Worker};

/// Nested, with numbers whose text counts and a field that is spelled so (WIRE.md 3.2).
const ENTITY: &str = r#"{"transactionNumber":7,"status":2,"amount":12.50,"messsage":"ok","posData":{"device":"kiosk 3","a":[1000,null]},"confirmations":[{"id":"x"}]}"#;

/// Both clients, by both transports.
const WAYS: [(&str, &str); 4] = [
    ("listen_by_socket.js", "websocket"),
    ("listen_by_socket.js", "polling"),
    ("listen_by_socket.py", "websocket"),
    ("listen_by_socket.py", "polling"),
];

struct Connecting<'a> {
    running: &'a Worker,
    way: (&'a str, &'a str),
    auth: Value,
    query: &'a str,
}

impl Connecting<'_> {
    fn start(self) -> Client {
        let wanted = json!({
            "url": self.running.gateway(), "auth": self.auth, "query": self.query,
            "transports": [self.way.1],
        });
        Client::start(self.way.0, &[&wanted.to_string()])
    }

    async fn connects(self) -> Client {
        let mut client = self.start();
        client.hears("connected").await;
        client
    }

    async fn refused(self) -> Value {
        self.start().hears("refused").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_hears_the_entity_of_its_transaction_or_device() {
    let database = Database::new().await;
    let running = Setup::gateway(&database)
        .toml("[gateway]\ndevice = '/posData/device'")
        .start()
        .await;
    let entity: Value = serde_json::from_str(ENTITY).unwrap();
    let merchant = database.token("acme").await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let transaction = format!("t{number}");
        let session = database.session("acme", &transaction, "").await;
        let device: String = database
            .value("SELECT posthorn.issue_device_session('acme', 'kiosk 3')")
            .await;
        let connecting = |auth: Value, query| Connecting {
            running: &running,
            way,
            auth,
            query,
        };
        let query = format!("?id=id_kiosk%203&token={device}");
        let mut clients = [
            connecting(json!({ "token": session }), "").connects().await,
            connecting(Value::Null, &query).connects().await,
            connecting(json!({ "token": merchant, "id": "kiosk 3" }), "")
                .connects()
                .await,
            connecting(json!({ "token": merchant, "transaction": transaction }), "")
                .connects()
                .await,
        ];
        for (of, name) in [("other", transaction.as_str()), ("acme", "elsewhere")] {
            database.publish(of, name, "1", "{}").await;
        }
        database.publish("acme", &transaction, "2", ENTITY).await;
        for client in &mut clients {
            assert_eq!(client.hears("message").await, json!([entity]), "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_catches_up_with_what_it_missed() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let token = database.token("acme").await;
    for way in WAYS {
        let connecting = |after: &Value| Connecting {
            running: &running,
            way,
            auth: json!({ "token": token, "after": after }),
            query: "",
        };
        let mut client = connecting(&json!("now")).connects().await;
        let publish = async |at: i64| {
            let data = format!("{{\"at\": {at}}}");
            database.publish("acme", "t1", "changed", &data).await;
        };
        publish(1).await;
        let first = client.hears("message").await;
        assert_eq!(first[0], json!({"at": 1}), "{way:?}");
        publish(2).await;
        drop(client);
        publish(3).await;
        let mut client = connecting(&first[1]).connects().await;
        let mut missed = Vec::new();
        for _ in 0..2 {
            missed.push(client.hears("message").await[0]["at"].as_i64());
        }
        if way.0 == WAYS[2].0 {
            // Its threads, one for each message, overtake one another.
            missed.sort_unstable();
        }
        assert_eq!(missed, [Some(2), Some(3)], "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_right_is_refused() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let session = database.session("acme", "t1", "").await;
    let merchant = database.token("acme").await;
    for way in [WAYS[0], WAYS[2]] {
        for (auth, query) in [
            (json!({}), String::new()),
            (json!({ "token": "phs_nobody" }), String::new()),
            (
                json!({ "token": session, "transaction": "t2" }),
                String::new(),
            ),
            (json!({ "token": session }), "?id=id_kiosk".to_owned()),
            // What a query holds stands in logs: no place for a merchant's token.
            (Value::Null, format!("?token={merchant}")),
        ] {
            let connecting = Connecting {
                running: &running,
                way,
                auth: auth.clone(),
                query: &query,
            };
            assert_eq!(connecting.refused().await, "unauthorized", "{way:?} {auth}");
        }
    }
}

/// No client's library stands between the bytes and the test.
#[tokio::test]
async fn the_entity_goes_out_as_it_was_published() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let session = database.session("acme", "t1", "").await;
    let url = format!("{}/socket.io/?EIO=4&transport=polling", running.gateway());
    let (_, opened) = ask(http().get(&url)).await;
    let handshake: Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
    let url = format!("{url}&sid={}", handshake["sid"].as_str().unwrap());
    let joins = format!("40{}", json!({ "token": session }));
    ask(http().post(&url).body(joins)).await;
    assert!(packet("40", &url).await.starts_with("{\"sid\""));
    let data = r#"{ "z": 1.50,  "a": [1e3], "z": 2 }"#;
    database.publish("acme", "t1", "2", data).await;
    assert_eq!(packet("42", &url).await, format!("[\"message\",{data}]"));
}

/// What the next packet of a type holds; an answer may have several, and pings between them.
async fn packet(kind: &str, url: &str) -> String {
    loop {
        let (_, answer) = ask(http().get(url)).await;
        for packet in answer.split('\u{1e}') {
            if let Some(held) = packet.strip_prefix(kind) {
                return held.to_owned();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_gateway_is_killed_misses_nothing_and_sees_nothing_twice() {
    const EVENTS: u64 = 1_000;
    let database = Database::new().await;
    let token = database.token("acme").await;
    let mut running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let wanted = json!({
        "url": gateway, "auth": { "token": token, "after": "now" },
        "transports": ["websocket"], "follow": true,
    });
    let mut client = Client::start("listen_by_socket.js", &[&wanted.to_string()]);
    client.hears("connected").await;
    // From its first message on it has a cursor to come back with.
    database
        .publish("acme", "t", "changed", "{\"at\": 0}")
        .await;
    assert_eq!(client.hears("message").await[0]["at"], 0);

    let pool = database.pool.clone();
    let load = tokio::spawn(async move {
        for at in 1..EVENTS {
            sqlx::query("SELECT posthorn.publish('acme', 'payment', 't', 'changed', json_build_object('at', $1::int8))")
                .bind(i64::try_from(at).unwrap())
                .execute(&pool)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let mut seen = vec![];
    let mut kills = 0;
    while seen.len() + 1 < usize::try_from(EVENTS).unwrap() {
        let message = client.hears("message").await;
        seen.push(message[0]["at"].as_u64().unwrap());
        if seen.len() > 200 * (kills + 1) && kills < 3 {
            running.kill9().await;
            kills += 1;
            let listen = format!(
                "[gateway]\nlisten = '{}'",
                gateway.trim_start_matches("http://")
            );
            running = Setup::gateway(&database).toml(&listen).start().await;
        }
    }
    load.await.unwrap();
    assert_eq!(kills, 3, "the load was over too soon");
    let distinct: HashSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "some came twice");
    assert_eq!(seen, (1..EVENTS).collect::<Vec<_>>());
}

/// Its authors' client stays away where the server takes its leave in Socket.IO's own words.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_gateway_stops_comes_back_by_itself() {
    let database = Database::new().await;
    let token = database.token("acme").await;
    for transport in ["websocket", "polling"] {
        let mut running = Setup::gateway(&database).start().await;
        let gateway = running.gateway();
        let wanted = json!({
            "url": gateway, "auth": { "token": token, "after": "now" },
            "transports": [transport], "follow": true,
        });
        let mut client = Client::start("listen_by_socket.js", &[&wanted.to_string()]);
        client.hears("connected").await;
        let publish = async |at: i64| {
            let data = format!("{{\"at\": {at}}}");
            database.publish("acme", "t", "changed", &data).await;
        };
        publish(0).await;
        assert_eq!(client.hears("message").await[0]["at"], 0);
        assert!(running.sigterm().await.success());
        let reason = client.hears("disconnected").await;
        assert_ne!(reason, "io server disconnect", "{transport}");
        publish(1).await;
        let listen = format!(
            "[gateway]\nlisten = '{}'",
            gateway.trim_start_matches("http://")
        );
        let _running = Setup::gateway(&database).toml(&listen).start().await;
        assert_eq!(client.hears("message").await[0]["at"], 1, "{transport}");
    }
}
