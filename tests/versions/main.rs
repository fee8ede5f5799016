//! What a provider's own roles do, none of them a superuser, on each version of PostgreSQL
//! that is at hand: the one of this machine, and those that `.ci/postgres` fetches.

#![allow(clippy::too_many_lines, reason = "a test tells its whole story")]

mod attacks;
mod dump;
mod install;
mod server;
mod shadows;

#[path = "../support/mod.rs"]
mod support;

use server::Server;

async fn everything(server: Option<Server>) {
    let Some(server) = server else { return };
    install::a_plain_owner_installs_it_and_it_delivers(&server).await;
    dump::a_plain_owner_restores_all_of_it(&server).await;
    shadows::nothing_of_anybody_elses_is_called(&server).await;
    attacks::nobody_becomes_the_owner(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn on_the_oldest_supported_version() {
    everything(Server::of(14).await).await;
}

#[tokio::test]
async fn on_the_newest_supported_version() {
    everything(Server::of(18).await).await;
}

#[tokio::test]
async fn on_the_version_of_this_machine() {
    everything(Some(Server::found().await)).await;
}

/// `.ci/postgres 16 17` fetches others; who did that has them tried too.
#[tokio::test]
async fn on_the_others_that_were_fetched() {
    for major in server::fetched().filter(|major| ![14, 18].contains(major)) {
        everything(Server::of(major).await).await;
    }
}
