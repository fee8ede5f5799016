//! The way through a proxy: a tunnel to an address that was vetted here.
//!
//! The proxy is told an address and never a name, so that the egress policy holds behind it
//! as it does without it. Its own address is the operator's choice and is not vetted.

use std::error::Error;
use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tower_service::Service;

/// An HTTP proxy that opens tunnels (`CONNECT`, RFC 9110, section 9.3.6).
#[derive(Clone)]
pub struct Proxy {
    /// The proxy's name or address.
    pub host: String,
    /// The port on which it listens.
    pub port: u16,
    /// The value of `Proxy-Authorization`; none for a proxy that asks for no credentials.
    pub authorization: Option<HeaderValue>,
}

/// Makes the value of `Proxy-Authorization` for `user:password` (RFC 7617).
#[must_use]
#[expect(clippy::expect_used, reason = "the invariant is stated")]
pub fn basic_authorization(credentials: &SecretString) -> HeaderValue {
    let token = BASE64_STANDARD.encode(credentials.expose_secret());
    let mut value = HeaderValue::try_from(format!("Basic {token}"))
        .expect("base64 is made of characters that a header can carry");
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Shows where the proxy is, without its credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxy {
    /// Makes a connection to the proxy one to the target. The errors quote nothing of what
    /// the proxy says.
    pub(super) async fn tunnel(
        &self,
        stream: TcpStream,
        target: SocketAddr,
    ) -> Result<TcpStream, Box<dyn Error + Send + Sync>> {
        let target = Uri::builder()
            .scheme("http")
            .authority(target.to_string())
            .path_and_query("/")
            .build()?;
        // Where the proxy is does not matter any more: the connection is there.
        let mut tunnel = Tunnel::new(Uri::default(), Connected(Some(stream)));
        if let Some(authorization) = &self.authorization {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Ok(tunnel.call(target).await?.into_inner())
    }
}

/// A connection in the place of a connector.
struct Connected(Option<TcpStream>);

impl Service<Uri> for Connected {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take();
        ready(
            stream
                .map(TokioIo::new)
                .ok_or_else(|| std::io::ErrorKind::NotConnected.into()),
        )
    }
}
