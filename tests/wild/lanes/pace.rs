//! Receivers that say when to come back.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Database, PATIENCE, SHORT_LEASE, Setup, Worker, receiver, until};

/// Two attempts, and no age: what counts as a failure ends soon.
fn impatient(url: &str, more: Value) -> Value {
    let mut settings = json!({
        "url": url, "retry": "list", "retry_delays": ["100 milliseconds"], "max_in_flight": 10,
    });
    settings
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    settings
}

async fn publish(database: &Database, count: i32) {
    sqlx::query("SELECT posthorn.publish('acme', 'payment', 'T-' || n, 'open', '{}') FROM generate_series(1, $1) n")
        .bind(count)
        .execute(&database.pool)
        .await
        .unwrap();
}

/// Seen: with `Retry-After: 10` a receiver got 27 to 117 requests within its ten seconds, and
/// with a short list of delays some of 1,000 events ended as posting errors.
#[tokio::test]
async fn a_receiver_that_asks_for_time_has_it() {
    for (answer, wait) in [
        ("429,header=Retry-After: 6", 6),
        ("503,header=retry-after: 6", 6),
    ] {
        let database = Database::new().await;
        let receiver = receiver().await;
        receiver.on("/", answer.parse().unwrap());
        database
            .subscribe("acme", "orders", impatient(&receiver.url("/"), json!({})))
            .await;
        let worker = Setup::new(&database).start().await;
        publish(&database, 1000).await;
        receiver.endpoint("/").wait_for(1, PATIENCE).await.unwrap();
        let began = Instant::now();
        until(
            PATIENCE,
            "all of them waiting in the database",
            async || {
                let waiting = worker.metric("posthorn_deliveries_waiting").await;
                (waiting > 999.5).then_some(())
            },
        )
        .await;
        let told = worker.metric("posthorn_endpoints_told_to_wait").await;
        assert!((told - 1.0).abs() < 0.5, "{told}");
        // Until just before its time is over.
        tokio::time::sleep_until((began + Duration::from_millis(wait * 1000 - 500)).into()).await;
        let seen = receiver.received();
        assert!(
            seen <= 10,
            "{seen} requests while it asked for none: {answer}"
        );
        receiver.on("/", "200".parse().unwrap());
        database.count_reaches("delivered", 1000).await;
        let tried_again = "SELECT count(*) FROM posthorn.deliveries WHERE attempts > 1";
        assert!(database.value::<i64>(tried_again).await <= 10);
    }
}

/// A date instead of seconds; and probes that are told to wait again.
#[tokio::test]
async fn a_date_is_a_wait_too_and_probes_go_one_at_a_time() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(8));
    // A comma of the receiver's language is escaped.
    let answer = format!("429,header=Retry-After: {}", date.replace(',', "\\,"));
    receiver.on("/", answer.parse().unwrap());
    let settings = impatient(&receiver.url("/"), json!({}));
    database.subscribe("acme", "orders", settings).await;
    let worker = Setup::new(&database).start().await;
    publish(&database, 200).await;
    until(PATIENCE, "a wait", async || {
        let told = worker.metric("posthorn_endpoints_told_to_wait").await;
        (told > 0.5).then_some(())
    })
    .await;
    let again = "429,header=Retry-After: 1,times=2,then=200";
    receiver.on("/", again.parse().unwrap());
    database.count_reaches("delivered", 200).await;
    let seen = receiver.received();
    assert!(seen <= 10 + 2 + 200, "{seen} requests");
}

/// `retry_after = false`: nobody asked to be heard.
#[tokio::test]
async fn where_it_is_not_honoured_everything_is_as_it_was() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on(
        "/",
        "429,header=Retry-After: 3600,times=1,then=200"
            .parse()
            .unwrap(),
    );
    let deaf = impatient(&receiver.url("/"), json!({ "retry_after": false }));
    database.subscribe("acme", "orders", deaf).await;
    let _worker = Setup::new(&database).start().await;
    publish(&database, 20).await;
    database.count_reaches("delivered", 20).await;
}

#[tokio::test]
async fn an_age_ends_what_a_receiver_never_takes() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/", "429,header=Retry-After: 3600".parse().unwrap());
    let aging = json!({ "max_age": "20 minutes", "max_in_flight": 1 });
    database
        .subscribe("acme", "orders", impatient(&receiver.url("/"), aging))
        .await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "T-1", "open", "{}").await;
    let ended = database.reaches(event, "posting_error").await;
    assert!(
        ended
            .reason
            .unwrap()
            .starts_with("older than 20 minutes by the next attempt")
    );
}

/// The wait is kept by whoever takes the shard over.
#[tokio::test]
async fn a_hand_over_keeps_the_wait() {
    for kill in [false, true] {
        let database = Database::new().await;
        let receiver = receiver().await;
        receiver.on("/", "429,header=Retry-After: 12".parse().unwrap());
        database
            .subscribe("acme", "orders", impatient(&receiver.url("/"), json!({})))
            .await;
        let mut first: Worker = Setup::new(&database).toml(SHORT_LEASE).start().await;
        database.publish("acme", "T-0", "open", "{}").await;
        database.count_reaches("pending_retry", 1).await;
        let told = Instant::now();
        receiver.on("/", "200".parse().unwrap());
        if kill {
            first.kill9().await;
        } else {
            first.sigterm().await;
        }
        let second = Setup::new(&database).start().await;
        publish(&database, 50).await;
        until(PATIENCE, "new events that wait", async || {
            let waiting = "SELECT count(*) FROM posthorn.pending_deliveries";
            (database.value::<i64>(waiting).await == 51).then_some(())
        })
        .await;
        let (seen, waited) = (receiver.received(), told.elapsed());
        assert!(
            seen == 1 || waited > Duration::from_secs(11),
            "{seen} after {waited:?}"
        );
        database.count_reaches("delivered", 51).await;
        assert!(told.elapsed() > Duration::from_secs(10), "{}", second.log());
    }
}

/// Seen: a receiver that takes 20 a second, and answers the rest 429 with `Retry-After: 2`, got
/// 45 a second throughout.
#[tokio::test]
async fn a_receiver_that_takes_so_many_a_second_sees_little_more() {
    for window in [false, true] {
        let database = Database::new().await;
        let limited = Limited::listen(30.0, window).await;
        database
            .subscribe("acme", "orders", impatient(&limited.url, json!({})))
            .await;
        let _worker = Setup::new(&database).start().await;
        publish(&database, 600).await;
        until(Duration::from_mins(2), "all delivered", async || {
            let delivered = "SELECT count(*) FROM posthorn.deliveries WHERE state = 'delivered'";
            (database.value::<i64>(delivered).await == 600).then_some(())
        })
        .await;
        let (seen, span) = limited.seen();
        let rate = f64::from(seen) / span.as_secs_f64();
        println!("window {window}: {seen} requests in {span:?}, {rate:.1} a second");
        assert!(rate < 33.0, "{seen} requests in {span:?}");
        assert!(
            rate > 12.0,
            "{seen} requests in {span:?}: far less than it takes"
        );
        assert!(seen < 720, "{seen} requests for 600 deliveries");
    }
}

/// Takes so many a second, by a bucket that holds a second's worth or by the clock's seconds, and
/// answers the others 429.
struct Limited {
    url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    per_second: f64,
    by_window: bool,
    began: Option<Instant>,
    last: Instant,
    bucket: f64,
    seen: u32,
}

impl Limited {
    async fn listen(per_second: f64, by_window: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            per_second,
            by_window,
            began: None,
            last: Instant::now(),
            bucket: per_second,
            seen: 0,
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, state }
    }

    /// How many requests, and between the first and the last.
    fn seen(&self) -> (u32, Duration) {
        let state = self.state.lock().unwrap();
        (state.seen, state.last - state.began.unwrap())
    }
}

impl State {
    fn takes(&mut self) -> bool {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let second = |at: Instant| at.saturating_duration_since(began).as_secs();
        if !self.by_window {
            let filled = (now - self.last).as_secs_f64() * self.per_second;
            self.bucket = (self.bucket + filled).min(self.per_second);
        } else if second(now) > second(self.last) {
            self.bucket = self.per_second;
        }
        self.last = now;
        self.seen += 1;
        let takes = self.bucket >= 1.0;
        if takes {
            self.bucket -= 1.0;
        }
        takes
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let answer = if state.lock().unwrap().takes() {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
