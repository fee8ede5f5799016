//! From an empty database to a delivery.

use serde_json::json;

use crate::server::Server;
use crate::support::{Database, Setup, posthorn, receiver};

pub async fn a_plain_owner_installs_it_and_it_delivers(server: &Server) {
    let database = server.empty("installed").await;
    let url = &database.url;
    let migrate = ["migrate", "--database-url", url];
    let (one, two) = tokio::join!(posthorn(&migrate), posthorn(&migrate));
    for (status, said) in [one, two, posthorn(&migrate).await] {
        assert!(status.success(), "{}: {said}", server.major);
        let is_there = said.contains("the schema is up to date: ");
        assert!(is_there, "{}: {said}", server.major);
    }
    for part in ["worker", "publisher"] {
        server.role(part).await;
        let (status, said) =
            posthorn(&["grant", &format!("--{part}"), part, "--database-url", url]).await;
        assert!(status.success(), "{}: {said}", server.major);
    }
    database
        .execute(
            "CREATE SCHEMA shop;
             CREATE TABLE shop.payments (id int PRIMARY KEY, merchant text, status text)",
        )
        .await;
    let (status, said) = posthorn(&[
        "source",
        "attach",
        "shop.payments",
        "--merchant=merchant",
        "--id=id",
        "--status=status",
        "--database-url",
        url,
    ])
    .await;
    assert!(status.success(), "{}: {said}", server.major);

    let receiver = receiver().await;
    let settings = json!({"url": receiver.url("/hook")});
    database.subscribe("acme", "orders", settings).await;
    let mut worker = Setup::with_url(&database.url_of("worker"))
        // What a file declares goes by posthorn.declare, as a role that owns nothing.
        .toml(&format!(
            "[[subscription]]\nmerchant = 'globex'\nname = 'file'\nurl = '{}'",
            receiver.url("/file")
        ))
        .start()
        .await;
    let publisher = Database::connect("installed", database.url_of("publisher"));
    publisher.publish("acme", "t1", "approved", "{}").await;
    publisher.publish("globex", "t2", "approved", "{}").await;
    database
        .execute("INSERT INTO shop.payments VALUES (7, 'acme', 'paid')")
        .await;
    database.count_reaches("delivered", 3).await;
    assert!(worker.sigterm().await.success());
    let log = worker.log();
    assert!(!log.contains("denied"), "{}: {log}", server.major);
}
