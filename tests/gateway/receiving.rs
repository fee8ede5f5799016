//! The examples of docs/RECEIVING.md do what they say.

use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::clients::{Client, browser};
use crate::support::interpreters::{Language, interpreter, root};
use crate::support::{Database, PATIENCE, Setup, receiver};

const DATA: &str =
    r#"{"transactionID": "4711", "transactionStatus": "approved", "lastFourDigits": "1111"}"#;

/// A block of code and what it has to show.
struct Example {
    language: String,
    code: String,
    shows: String,
    in_browser: bool,
}

/// Every block that is code in some language; one without a promise fails.
fn examples() -> Vec<Example> {
    let page = std::fs::read_to_string(root().join("docs/RECEIVING.md")).unwrap();
    let mut examples = Vec::new();
    let mut lines = page.lines();
    let mut promise = None;
    while let Some(line) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!-- shows") {
            promise = comment.strip_suffix(" -->");
        } else if let Some(language) = line.strip_prefix("```").filter(|name| !name.is_empty()) {
            let code: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let code = code.join("\n");
            let shows = promise
                .take()
                .unwrap_or_else(|| panic!("shows what?\n{code}"));
            let (place, shows) = shows.split_once(": ").unwrap();
            examples.push(Example {
                language: language.to_owned(),
                code,
                shows: shows.to_owned(),
                in_browser: place == " in a browser",
            });
        } else if line == "```" {
            lines.by_ref().find(|line| *line == "```");
        }
    }
    examples
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_shows_what_it_says() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let mut page = None;
    let mut origin = "https://shop.example.com".to_owned();
    if let Some(chromium) = browser() {
        let mut client = Client::start("browser.js", &[chromium.to_str().unwrap()]);
        client.hears("origins").await[0]
            .as_str()
            .unwrap()
            .clone_into(&mut origin);
        page = Some(client);
    }
    let running = Setup::new(&database)
        .switch("--gateway")
        .toml(&format!("[gateway]\nallowed_origins = ['{origin}']"))
        .start()
        .await;
    let fields = json!([{ "name": "ps_securitytoken", "source": "security_token" }]);
    let settings = json!({ "url": receiver.url("/"), "encoding": "nvp", "fields": fields });
    database.subscribe("acme", "listener", settings).await;
    let event = database.publish("acme", "4711", "approved", DATA).await;
    database.reaches(event, "delivered").await;
    let notified = receiver.requests().remove(0);
    let mut fields = form_urlencoded::parse(&notified.body);
    let security_token = fields.find(|(name, _)| name == "ps_securitytoken").unwrap();
    let session = database.session("acme", "4711", "").await;
    let gateway = running.gateway();
    let environment = [
        ("GATEWAY", gateway.clone()),
        ("TOKEN", database.token("acme").await),
        ("SESSION", session.clone()),
        ("SECURITY_TOKEN", security_token.1.into_owned()),
    ];
    let examples = examples();
    assert!(examples.len() > 12, "only {}", examples.len());
    for example in examples {
        if !example.in_browser {
            run(&example, &environment).await;
            continue;
        }
        let Some(page) = &mut page else { continue };
        let html = example.code.replace("https://pay.example.com", &gateway);
        let html = html.replace("https://shop.example.com", &origin);
        let html = html.replace("phs_…", &session);
        page.tell(&json!({ "show": html, "on": 0 })).await;
        while page.hears("console").await != example.shows {}
    }
}

/// Until it has shown what it says, or ends without.
async fn run(example: &Example, environment: &[(&str, String)]) {
    let mut command = match example.language.as_str() {
        "sh" => Command::new("sh"),
        "python" => interpreter(Language::Python),
        "js" => interpreter(Language::JavaScript),
        other => panic!("no example can be in {other}"),
    };
    let option = if example.language == "js" { "-e" } else { "-c" };
    let mut process = command
        .args([option, &example.code])
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut output = String::new();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            output.push_str(&line);
            if output.contains(&example.shows) {
                return true;
            }
        }
        false
    };
    let found = timeout(PATIENCE, found).await == Ok(true);
    assert!(found, "{}\nshows {output}", example.code);
}
