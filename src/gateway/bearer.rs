//! The token that a request shows, and whose it is.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::Gateway;
use super::access::{Session, token_hash};
use super::desk::Away;
use super::refusal::Refusal;
use crate::store::tokens::{ApiTokenRow, TokenHash};

/// How long a client waits for a gateway that begins.
const READY: Duration = Duration::from_secs(5);

/// How often a waiting client looks whether the gateway has begun.
const AGAIN: Duration = Duration::from_millis(10);

/// Takes the token out of the header `Authorization`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A merchant that asks, with the hash of its token.
pub struct Merchant {
    pub token: Arc<ApiTokenRow>,
    pub hash: TokenHash,
}

impl Gateway {
    /// Waits for the reader. Until it has read up to the present, nobody knows the time and
    /// what is new: a moment after the start, and after a failover.
    async fn ready(&self) -> Result<(), Away> {
        let ready = async {
            while self.hub.moment().is_none() {
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::time::timeout(READY, ready).await.map_err(|_| Away)
    }

    /// Finds the merchant whose API token this is; it has the rate limit that goes with it.
    pub async fn merchant(&self, token: Option<&str>) -> Result<Merchant, Refusal> {
        let hash = token.and_then(token_hash).ok_or(Refusal::Unauthorized)?;
        self.ready().await?;
        let found = self.access.api_token(&hash, self.clock.now()).await?;
        let token = found.ok_or(Refusal::Unauthorized)?;
        self.limits.token(&hash)?;
        Ok(Merchant { token, hash })
    }

    /// Finds the session whose token this is, ended or not.
    pub async fn session(&self, token: Option<&str>) -> Result<Arc<Session>, Refusal> {
        let hash = token.and_then(token_hash).ok_or(Refusal::Unauthorized)?;
        self.ready().await?;
        let found = self.access.session(&hash).await?;
        let session = found.ok_or(Refusal::Unauthorized)?;
        self.limits.token(&hash)?;
        Ok(session)
    }
}
