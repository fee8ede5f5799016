//! What the tests with real worker processes stand on: a database each, workers as users
//! run them, and waiting for what is to happen.

#![allow(dead_code, reason = "each test binary takes what it needs of it")]

pub mod authority;
mod config_file;
mod database;
pub mod http;
pub mod interpreters;
pub mod processes;
pub mod rig;
pub mod shop;
mod worker;

use std::time::{Duration, Instant};

use posthorn::receiver::Receiver;
use tokio::sync::{Mutex, MutexGuard};

#[allow(unused_imports, reason = "not every test binary names it")]
pub use config_file::ConfigFile;
#[allow(unused_imports, reason = "not every test binary names them all")]
pub use database::{Database, Delivery, through};
#[allow(unused_imports, reason = "not every test binary names them all")]
pub use worker::{SHORT_LEASE, Setup, Worker, posthorn, posthorn_fed};

/// What is expected to happen happens within moments; the rest is for a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Tests that load the machine with thousands of things take their turns: side by side they
/// would starve one another, and the light ones beside them. Cargo runs one test binary at a
/// time, so a lock of the process will do.
static HEAVY: Mutex<()> = Mutex::const_new(());

pub async fn alone_among_the_heavy() -> MutexGuard<'static, ()> {
    HEAVY.lock().await
}

/// Asks again and again until the answer is there, and returns it; panics with `what` when
/// it is not there in time.
pub async fn until<T>(within: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A receiver in this process that keeps what arrives.
pub async fn receiver() -> Receiver {
    let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    receiver.record(100_000);
    receiver
}
