//! A SOAP client that was made from the WSDL, by Python's `zeep`.

use serde_json::json;

use crate::clients::Client;
use crate::support::{Database, Setup};

#[tokio::test]
async fn a_client_made_from_the_wsdl_learns_the_states() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let waits = database.session("acme", "t1", "").await;
    let done = database
        .session("acme", "t2", ", complete_as => 'complete'")
        .await;
    database.publish("acme", "t2", "approved", "{}").await;
    let mut client = Client::start(
        "ask_by_soap.py",
        &[&running.gateway(), &waits, &done, "nobody's", ""],
    );
    for port in ["SSOServiceSoap", "SSOServiceSoap12"] {
        let said = client.line().await.unwrap();
        assert_eq!(said["port"], port);
        assert_eq!(
            said["states"],
            json!(["NEW", "complete", "EXPIRED", "EXPIRED"])
        );
        let fault = said["fault"].as_str().unwrap();
        assert!(fault.starts_with("not a SOAP envelope"), "{fault}");
    }
    assert_eq!(client.line().await, None);
}
