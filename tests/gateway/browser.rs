//! A real browser: the page that is embedded, on another origin than the page around it
//! (WIRE.md 3.1), and the script on a page of its own.

use serde_json::{Value, json};

use crate::clients::{Client, browser};
use crate::support::{Database, Setup, Worker};

const ENTITY: &str = r#"{"transactionNumber": 7, "messsage": "ok", "posData": {"a": [1, null]}}"#;

/// A browser, and a gateway that trusts the first of its two origins.
struct Stage {
    database: Database,
    running: Worker,
    browser: Client,
    origins: Vec<String>,
}

impl Stage {
    /// None where there is no browser.
    async fn set() -> Option<Self> {
        let chromium = browser()?;
        let mut browser = Client::start("browser.js", &[chromium.to_str().unwrap()]);
        let origins = browser.hears("origins").await;
        let origins: Vec<String> = serde_json::from_value(origins).unwrap();
        let database = Database::new().await;
        let running = Setup::gateway(&database)
            .toml(&format!("[gateway]\nallowed_origins = ['{}']", origins[0]))
            .start()
            .await;
        Some(Self {
            database,
            running,
            browser,
            origins,
        })
    }

    /// A page with the gateway's in it, for the first origin.
    fn around(&self, token: &str, more: &str) -> String {
        format!(
            "<title>around</title><iframe src=\"{}/v1/listen?origin={}#token={token}{more}\"></iframe>",
            self.running.gateway(),
            self.origins[0],
        )
    }

    async fn show(&mut self, page: &Value) {
        self.browser.tell(page).await;
    }

    async fn token(&self, transaction: &str) -> String {
        self.database.session("acme", transaction, "").await
    }

    async fn publish(&self, transaction: &str, data: &str) {
        self.database.publish("acme", transaction, "2", data).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_page_tells_the_page_around_it() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    let token = stage.token("t1").await;
    let page = stage.around(&token, "");
    stage.show(&json!({ "show": page, "on": 0 })).await;
    assert_eq!(stage.browser.hears("asks").await, "eventsource");
    stage.publish("other", "{}").await;
    stage.publish("t1", ENTITY).await;
    let told = loop {
        let line = stage.browser.line().await.unwrap();
        if line.get("message").is_some() {
            break line;
        }
    };
    let entity: Value = serde_json::from_str(ENTITY).unwrap();
    assert_eq!(
        told,
        json!({ "message": entity, "from": stage.running.gateway() })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_stream_does_not_come_through_it_polls() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    let token = stage.token("t1").await;
    let page = stage.around(&token, "");
    stage
        .show(&json!({ "show": page, "on": 0, "without": "eventsource" }))
        .await;
    stage.publish("t1", "{\"at\": 1}").await;
    assert_eq!(stage.browser.hears("message").await["at"], 1);
    stage.publish("t1", "{\"at\": 2}").await;
    assert_eq!(stage.browser.hears("message").await["at"], 2);
}

/// A page that nobody allowed cannot embed it, and is told nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_origin_is_told_nothing() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    let token = stage.token("t1").await;
    stage.publish("t1", ENTITY).await;
    let page = stage.around(&token, "");
    stage.show(&json!({ "show": page, "on": 1 })).await;
    let said = stage.browser.hears("console").await;
    let said = said.as_str().unwrap();
    assert!(said.contains("frame-ancestors"), "{said}");
    // Nor can its scripts read what the gateway answers.
    let gateway = stage.running.gateway();
    let asks = format!(
        "<title>asks</title><script>
           fetch('{gateway}/v1/session', {{ headers: {{ Authorization: 'Bearer {token}' }} }})
             .then(() => tell({{ read: true }}), () => tell({{ read: false }}));
         </script>"
    );
    stage.show(&json!({ "show": asks, "on": 1 })).await;
    assert_eq!(stage.browser.hears("read").await, false);
    stage.show(&json!({ "show": asks, "on": 0 })).await;
    assert_eq!(stage.browser.hears("read").await, true);
    let named = format!("{gateway}/v1/listen?origin={}", stage.origins[1]);
    let (status, _) = crate::client::ask(crate::client::http().get(named)).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_listens_on_a_page_of_the_merchants() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    let token = stage.token("t1").await;
    let page = format!(
        "<title>own</title><script src=\"{}/v1/listen.js\"></script><script>
           Posthorn.listen({{ token: '{token}', onMessage: (data, event) => tell({{ data, status: event.status }}) }});
         </script>",
        stage.running.gateway(),
    );
    stage.show(&json!({ "show": page, "on": 0 })).await;
    assert_eq!(stage.browser.hears("asks").await, "eventsource");
    stage.publish("t1", "{\"at\": 1}").await;
    assert_eq!(stage.browser.hears("data").await, json!({ "at": 1 }));
    // A gateway that dies is one that it comes back to: each event once.
    stage.running.kill9().await;
    stage.publish("t1", "{\"at\": 2}").await;
    let listen = format!(
        "[gateway]\nlisten = '{}'\nallowed_origins = ['{}']",
        stage.running.gateway().trim_start_matches("http://"),
        stage.origins[0]
    );
    stage.running = Setup::gateway(&stage.database).toml(&listen).start().await;
    stage.publish("t1", "{\"at\": 3}").await;
    for at in 2..=3 {
        assert_eq!(stage.browser.hears("data").await, json!({ "at": at }));
    }
}
