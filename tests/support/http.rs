//! Asking over HTTP, as a client of the gateway does.

use reqwest::{Client, RequestBuilder};

use super::PATIENCE;

pub fn http() -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// The status, and the body as text.
pub async fn ask(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.text().await.unwrap())
}
