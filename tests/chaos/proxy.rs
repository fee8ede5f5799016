//! A TCP proxy of the test's own: it passes bytes on, or stalls, or cuts, as it is told.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::through;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    To(SocketAddr),
    /// Nothing gets through, and nobody is told.
    Stalled(SocketAddr),
    /// Connections are closed, those there are and those that come.
    Cut,
}

pub struct Proxy {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::To(target));
        let accepting = tokio::spawn(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(client, watched.clone()));
                }
            }
        });
        Self {
            address,
            mode,
            accepting,
        }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// A URL of PostgreSQL that leads through here.
    pub fn url(&self, url: &str) -> String {
        through(url, self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.mode.send_replace(Mode::Cut);
    }
}

async fn carry(client: TcpStream, mut mode: watch::Receiver<Mode>) {
    let target = loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::To(target) => break target,
            Mode::Cut => return,
            Mode::Stalled(_) => {
                if mode.changed().await.is_err() {
                    return;
                }
            }
        }
    };
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let gate = Arc::new(Gate { target, mode });
    tokio::select! {
        () = gate.clone().pass(from_client, to_server) => {}
        () = gate.clone().pass(from_server, to_client) => {}
        () = gate.closes() => {}
    }
}

struct Gate {
    target: SocketAddr,
    mode: watch::Receiver<Mode>,
}

impl Gate {
    async fn pass(self: Arc<Self>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let mut mode = self.mode.clone();
            let open = mode.wait_for(|mode| !matches!(mode, Mode::Stalled(_)));
            if open.await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }

    /// Cut, or another server is meant now.
    async fn closes(&self) {
        let mut mode = self.mode.clone();
        let _ = mode
            .wait_for(|mode| match mode {
                Mode::To(target) | Mode::Stalled(target) => *target != self.target,
                Mode::Cut => true,
            })
            .await;
    }
}
