//! Names that cannot be looked up, wherever they stand.

use std::collections::HashMap;

use super::dns::{NameServer, Zone};
use super::oauth2::client;
use super::{
    ANSWER_CAP, FailureClass, Network, Sender, TlsSettings, allowing, failure, send, subscription,
};
use crate::model::Subscription;
use crate::model::subscription::Exit;
use crate::send::Proxy;

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_a_failure_of_the_dns() {
    let names = NameServer::of(Zone::new()).await;
    let long = format!("{}.test", "a".repeat(64));
    for name in ["missing.test", "a..test", "-.test", &long] {
        let proxy = Proxy {
            host: name.to_owned(),
            port: 3128,
            authorization: None,
        };
        let network = Network {
            name_servers: vec![names.address],
            proxy_pools: HashMap::from([("dmz".to_owned(), vec![proxy])]),
            ..allowing(&["127.0.0.0/8"])
        };
        let sender = Sender::new(network, ANSWER_CAP);
        let plain = subscription(TlsSettings::default());
        let proxied = Subscription {
            exit: Exit {
                source_addresses: Vec::new(),
                proxy_pool: Some("dmz".to_owned()),
            },
            ..plain.clone()
        };
        let by_token = Subscription {
            auth: client(&format!("https://{name}/token")),
            ..plain.clone()
        };
        for (url, subscription) in [
            (format!("https://{name}/"), &plain),
            (format!("https://{name}:8443/"), &proxied),
            ("https://127.0.0.1:1/".to_owned(), &proxied),
            ("http://127.0.0.1:1/".to_owned(), &by_token),
        ] {
            let (class, detail) = failure(send(&sender, &url, subscription).await);
            assert_eq!(class, FailureClass::Dns, "{url}: {detail}");
            assert!(detail.contains("name"), "{url}: {detail}");
        }
    }
}
