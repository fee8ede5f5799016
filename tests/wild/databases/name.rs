//! A name of the test's own, which leads to a server: connections are passed on to it, and may
//! be forgotten when the name leads to another one.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::through;

pub struct Name {
    pub address: SocketAddr,
    leads: watch::Sender<Leads>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct Leads {
    to: SocketAddr,
    /// Connections from before this many changes hear nothing any more, and nobody is told.
    swallowed: u32,
    changes: u32,
}

impl Name {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (leads, watched) = watch::channel(Leads {
            to: local(port),
            swallowed: 0,
            changes: 0,
        });
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, watched.clone()));
            }
        });
        Self {
            address,
            leads,
            accepting,
        }
    }

    /// New connections lead there; those that there are stay with their server.
    pub fn lead_to(&self, port: u16) {
        self.leads.send_modify(|leads| {
            leads.to = local(port);
            leads.changes += 1;
        });
    }

    /// The same, and what there is falls silent: packets vanish.
    pub fn lead_away_to(&self, port: u16) {
        self.lead_to(port);
        self.leads
            .send_modify(|leads| leads.swallowed = leads.changes);
    }

    /// A URL of PostgreSQL that names this.
    pub fn url(&self, url: &str) -> String {
        through(url, self.address)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn carry(mut client: TcpStream, mut leads: watch::Receiver<Leads>) {
    let Leads { to, changes, .. } = *leads.borrow();
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let silent = async {
        leads
            .wait_for(|leads| changes < leads.swallowed)
            .await
            .is_ok()
    };
    let is_silent = tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => false,
        silent = silent => silent,
    };
    if is_silent {
        // Both ends stay open.
        std::future::pending::<()>().await;
    }
}
