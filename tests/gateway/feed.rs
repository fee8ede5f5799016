//! The feed: in order, without gaps, and each event once, whatever happens in between.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::client::{Stream, ask, http, json};
use crate::support::{Database, PATIENCE, Setup, Worker};

fn publish(transaction: &str, status: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT posthorn.publish('acme', 'payment', '{transaction}', '{status}')"
    ))
}

fn statuses(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap().iter();
    events
        .map(|event| event["status"].as_str().unwrap())
        .collect()
}

/// A merchant that asks for its feed, page by page.
struct Merchant {
    gateway: String,
    token: String,
    cursor: String,
}

impl Merchant {
    fn new(running: &Worker, token: String, cursor: &str) -> Self {
        Self {
            gateway: running.gateway(),
            token,
            cursor: cursor.to_owned(),
        }
    }

    async fn next(&mut self, more: &str) -> Value {
        let page = json(
            http()
                .get(format!(
                    "{}/v1/events?after={}{more}",
                    self.gateway, self.cursor
                ))
                .bearer_auth(&self.token),
        )
        .await;
        page["cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.cursor);
        page
    }
}

#[tokio::test]
async fn events_come_as_they_were_published_and_a_merchants_alone() {
    let database = Database::new().await;
    let data = r#"{ "z": 1234.50,  "a": [1e3, null, "é"] }"#;
    database.publish("acme", "t0", "before", "{\"a\": 1}").await;
    database
        .execute("UPDATE posthorn.events SET data = NULL, purged_at = now()")
        .await;
    let running = Setup::gateway(&database).start().await;
    database.publish("other", "t1", "theirs", "{}").await;
    let event = database.publish("acme", "t1", "approved", data).await;
    let token = database.token("acme").await;
    let request = http()
        .get(format!("{}/v1/events", running.gateway()))
        .bearer_auth(&token);
    let (status, body) = ask(request).await;
    assert_eq!(status, 200);
    assert!(body.contains(&format!("\"data\":{data}")), "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(statuses(&page), ["before", "approved"]);
    assert!(page["events"][0]["data"].is_null(), "its payload is purged");
    let told = &page["events"][1];
    assert_eq!(told["id"], event.to_string());
    assert_eq!(told["kind"], "payment");
    assert_eq!(told["transaction"], "t1");

    let mut merchant = Merchant::new(&running, token, "start");
    assert_eq!(statuses(&merchant.next("&limit=1").await), ["before"]);
    assert_eq!(statuses(&merchant.next("&limit=1").await), ["approved"]);
    assert!(statuses(&merchant.next("&limit=1").await).is_empty());
    "now".clone_into(&mut merchant.cursor);
    assert!(statuses(&merchant.next("").await).is_empty());
    database.publish("acme", "t1", "voided", "{}").await;
    assert_eq!(statuses(&merchant.next("&wait=30s").await), ["voided"]);
    for wrong in [
        "after=nonsense",
        "limit=0",
        "limit=501",
        "wait=long",
        "limit=x",
    ] {
        let request = http()
            .get(format!("{}/v1/events?{wrong}", running.gateway()))
            .bearer_auth(&merchant.token);
        assert_eq!(ask(request).await.0, 400, "{wrong}");
    }
}

/// `id > last_seen`, or a time, would lose the first of these.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_passed_over() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let mut merchant = Merchant::new(&running, database.token("acme").await, "start");
    let mut late = PgConnection::connect(&database.url).await.unwrap();
    let mut open = late.begin().await.unwrap();
    open.execute(sqlx::raw_sql(publish("t1", "early")))
        .await
        .unwrap();
    for (at, status) in ["second", "third"].into_iter().enumerate() {
        database.publish("acme", "t2", status, "{}").await;
        let page = merchant.next("&wait=30s").await;
        assert_eq!(statuses(&page), [status], "{at}");
    }
    open.commit().await.unwrap();
    assert_eq!(statuses(&merchant.next("&wait=30s").await), ["early"]);
    assert!(statuses(&merchant.next("").await).is_empty());
}

/// The older transaction changes the payment last: its number says nothing of that.
#[tokio::test]
async fn the_changes_of_one_transaction_come_in_their_order() {
    let database = Database::new().await;
    let mut older = PgConnection::connect(&database.url).await.unwrap();
    let mut open = older.begin().await.unwrap();
    open.execute("SELECT pg_current_xact_id()").await.unwrap();
    database.publish("acme", "t1", "first", "{}").await;
    open.execute(sqlx::raw_sql(publish("t1", "second")))
        .await
        .unwrap();
    open.commit().await.unwrap();
    // Both lie in one window of a client that comes now.
    let running = Setup::gateway(&database).start().await;
    let mut merchant = Merchant::new(&running, database.token("acme").await, "start");
    assert_eq!(statuses(&merchant.next("").await), ["first", "second"]);
}

#[tokio::test]
async fn a_bulk_of_events_comes_whole_and_once() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let mut merchant = Merchant::new(&running, database.token("acme").await, "now");
    merchant.next("").await;
    let from_the_start = "start".to_owned();
    database
        .execute(
            "DO $$ BEGIN
                FOR i IN 1..1700 LOOP PERFORM posthorn.publish('acme', 'payment', 'bulk', i::text); END LOOP;
             END $$;
             SELECT posthorn.publish('acme', 'payment', 't' || i, i::text) FROM generate_series(1701, 1800) i",
        )
        .await;
    // One follows the newest, the other comes from the beginning.
    for cursor in [merchant.cursor.clone(), from_the_start] {
        merchant.cursor = cursor;
        let mut seen = Vec::new();
        while seen.len() < 1800 {
            let page = merchant.next("&wait=10s&limit=130").await;
            let new = statuses(&page);
            assert!(!new.is_empty(), "only {} came", seen.len());
            seen.extend(new.iter().map(|status| status.parse::<i32>().unwrap()));
        }
        assert_eq!(seen, (1..=1800).collect::<Vec<_>>());
    }
}

/// Far behind what a gateway has in memory, the log is gone through a slice at a time.
#[tokio::test]
async fn a_client_from_far_back_finds_its_few_events_among_many() {
    const OTHERS: &str = "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
        SELECT 'other', 'payment', 't', 's' FROM generate_series(1, 12000)";
    let database = Database::new().await;
    for status in ["one", "two", "three"] {
        database.execute(OTHERS).await;
        database.publish("acme", "t1", status, "{}").await;
    }
    database.execute(OTHERS).await;
    let running = Setup::gateway(&database)
        .toml("[gateway]\nmemory_events = 1000")
        .start()
        .await;
    let mut merchant = Merchant::new(&running, database.token("acme").await, "start");
    let mut seen = Vec::new();
    let mut more = true;
    while more {
        let page = merchant.next("").await;
        seen.extend(statuses(&page).into_iter().map(str::to_owned));
        more = page["more"].as_bool().unwrap();
    }
    assert_eq!(seen, ["one", "two", "three"]);
    database.publish("acme", "t1", "four", "{}").await;
    assert_eq!(statuses(&merchant.next("&wait=30s").await), ["four"]);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_broke_off() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let token = database.token("acme").await;
    let url = format!("{}/v1/events?after=now", running.gateway());
    let mut stream = Stream::open(http().get(&url).bearer_auth(&token)).await;
    let beginning = stream.message().await.unwrap();
    assert!(beginning.data.is_empty() && !beginning.id.is_empty());
    let data = "{\n \"a\": 1,\n \"b\": 2.50\n}";
    database.publish("acme", "t1", "one", data).await;
    database.publish("acme", "t1", "two", "{}").await;
    let (first, told) = stream.event().await.unwrap();
    assert_eq!(
        (&told["status"], &told["data"]["b"]),
        (&"one".into(), &2.5.into())
    );
    let (_, told) = stream.event().await.unwrap();
    assert_eq!(told["status"], "two");
    drop(stream);
    database.publish("acme", "t1", "three", "{}").await;
    for (from, expected) in [
        (beginning.id, vec!["one", "two", "three"]),
        (first, vec!["two", "three"]),
    ] {
        let request = http().get(&url).bearer_auth(&token);
        let mut again = Stream::open(request.header("Last-Event-ID", from)).await;
        for status in expected {
            assert_eq!(again.event().await.unwrap().1["status"], status);
        }
    }
    // A revoked token ends what it opened.
    let mut stream = Stream::open(http().get(&url).bearer_auth(&token)).await;
    stream.message().await.unwrap();
    database
        .execute("SELECT posthorn.revoke_token(merchant, name) FROM posthorn.api_tokens")
        .await;
    let ended = tokio::time::timeout(PATIENCE, async {
        while stream.message().await.is_some() {}
    });
    assert!(ended.await.is_ok());
}

#[tokio::test]
async fn a_session_hears_of_its_own_transaction_until_it_ends() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let token = database
        .session("acme", "t1", ", lifetime => '6 seconds'")
        .await;
    let url = format!("{}/v1/session/events?after=start", running.gateway());
    database.publish("acme", "t1", "one", "{}").await;
    let mut stream = Stream::open(http().get(format!("{url}&token={token}"))).await;
    for (merchant, transaction) in [("acme", "t2"), ("other", "t1")] {
        database
            .publish(merchant, transaction, "not theirs", "{}")
            .await;
    }
    database.publish("acme", "t1", "two", "{}").await;
    assert_eq!(stream.event().await.unwrap().1["status"], "one");
    assert_eq!(stream.event().await.unwrap().1["status"], "two");
    assert_eq!(stream.event().await, None, "it ends with the session");
    let request = http().get(&url).bearer_auth(&token);
    assert_eq!(ask(request).await.0, 401);
    let merchant = http()
        .get(format!("{}/v1/events", running.gateway()))
        .bearer_auth(&token);
    assert_eq!(ask(merchant).await.0, 401, "it is no merchant's token");
}

/// After a failover or a restore transactions are counted anew: positions of the old cluster
/// become times.
#[tokio::test]
async fn in_another_cluster_nothing_is_missing() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let mut merchant = Merchant::new(&running, database.token("acme").await, "start");
    database.publish("acme", "t1", "before", "{}").await;
    assert_eq!(statuses(&merchant.next("&wait=30s").await), ["before"]);
    let url = format!("{}/v1/events?after=now", running.gateway());
    let mut stream = Stream::open(http().get(&url).bearer_auth(&merchant.token)).await;
    stream.message().await.unwrap();
    let here: String = database.value("SELECT posthorn.cluster()").await;
    let tables = here.split('/').next().unwrap();
    database
        .execute(&format!(
            "CREATE OR REPLACE FUNCTION posthorn.cluster() RETURNS text LANGUAGE sql STABLE RETURN '{tables}/2/1'",
        ))
        .await;
    running.logs("a standby took over").await;
    database.publish("acme", "t1", "after", "{}").await;
    // What was seen shortly before comes again, with the same id; nothing is left out.
    let mut came = Vec::new();
    while came.last().is_none_or(|last| last != "after") {
        let page = merchant.next("&wait=10s").await;
        came.extend(statuses(&page).into_iter().map(str::to_owned));
    }
    assert_eq!(came, ["before", "after"]);
    assert!(statuses(&merchant.next("").await).is_empty());
    while stream.event().await.unwrap().1["status"] != "after" {}
}

/// Clients keep their cursors, and their gateways are killed under them.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_gateway_that_is_killed_miss_nothing_and_see_nothing_twice() {
    const EVENTS: usize = 3_000;
    let database = Database::new().await;
    let token = database.token("acme").await;
    let first = Setup::gateway(&database).start().await;
    let second = Setup::gateway(&database).start().await;
    let gateways = [first.gateway(), second.gateway()];
    let polls = tokio::spawn(poll(gateways.clone(), token.clone(), EVENTS));
    let streams = tokio::spawn(stream(gateways.clone(), token.clone(), EVENTS));

    let load = {
        let pool = database.pool.clone();
        tokio::spawn(async move {
            let writers = (0..8).map(|writer| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for at in 0..EVENTS / 8 {
                        let mut open = pool.begin().await.unwrap();
                        let name = format!("w{writer}");
                        open.execute(sqlx::raw_sql(publish(&name, &at.to_string())))
                            .await
                            .unwrap();
                        // Some commit later than those that began after them.
                        if (at + writer) % 7 == 0 {
                            tokio::time::sleep(Duration::from_millis(15)).await;
                        }
                        open.commit().await.unwrap();
                    }
                })
            });
            for writer in writers.collect::<Vec<_>>() {
                writer.await.unwrap();
            }
        })
    };
    // Kills one and starts it again at the same place, in turn, for as long as there is load.
    let mut running = [Some(first), Some(second)];
    let mut kills = 0;
    while !load.is_finished() {
        let at = kills % 2;
        let mut victim = running[at].take().unwrap();
        victim.kill9().await;
        running[at] = Some(again(&database, &gateways[at]).await);
        kills += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.await.unwrap();
    assert!(kills >= 2, "the load was over too soon");
    for seen in [polls.await.unwrap(), streams.await.unwrap()] {
        let distinct: HashSet<_> = seen.iter().collect();
        assert_eq!(seen.len(), EVENTS);
        assert_eq!(distinct.len(), EVENTS, "some came twice");
        // Of one transaction in their order.
        for writer in 0..8 {
            let name = format!("w{writer}");
            let own = seen.iter().filter(|(transaction, _)| *transaction == name);
            let order: Vec<usize> = own.map(|(_, at)| *at).collect();
            assert!(order.is_sorted(), "{name}: {order:?}");
        }
    }
}

async fn again(database: &Database, gateway: &str) -> Worker {
    let address = gateway.strip_prefix("http://").unwrap();
    Setup::gateway(database)
        .toml(&format!("[gateway]\nlisten = '{address}'"))
        .start()
        .await
}

fn told(event: &Value) -> (String, usize) {
    let transaction = event["transaction"].as_str().unwrap().to_owned();
    (
        transaction,
        event["status"].as_str().unwrap().parse().unwrap(),
    )
}

async fn poll(gateways: [String; 2], token: String, events: usize) -> Vec<(String, usize)> {
    let client = http();
    let mut cursor = "start".to_owned();
    let mut seen = Vec::new();
    let mut at = 0;
    while seen.len() < events {
        at += 1;
        let url = format!("{}/v1/events?wait=5s&after={cursor}", gateways[at % 2]);
        let answer = client.get(url).bearer_auth(&token).send().await;
        let Ok(answer) = answer else { continue };
        if answer.status() != 200 {
            continue;
        }
        let Ok(body) = answer.text().await else {
            continue;
        };
        let Ok(page) = serde_json::from_str::<Value>(&body) else {
            continue;
        };
        seen.extend(page["events"].as_array().unwrap().iter().map(told));
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    seen
}

async fn stream(gateways: [String; 2], token: String, events: usize) -> Vec<(String, usize)> {
    let client = http();
    let mut cursor = String::new();
    let mut seen = Vec::new();
    let mut at = 0;
    while seen.len() < events {
        at += 1;
        let request = client
            .get(format!("{}/v1/events", gateways[at % 2]))
            .bearer_auth(&token)
            .header("Accept", "text/event-stream")
            .header("Last-Event-ID", &cursor);
        let Ok(answer) = request.send().await else {
            continue;
        };
        if answer.status() != 200 {
            continue;
        }
        let mut stream = Stream::of(answer);
        while seen.len() < events
            && let Some((id, event)) = stream.event().await
        {
            cursor = id;
            seen.push(told(&event));
        }
    }
    seen
}
