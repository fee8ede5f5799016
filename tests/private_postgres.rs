//! The private cluster works, and never outlives the process that started it.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use posthorn::demo::postgres::{PrivatePostgres, Settings};
use sqlx::{Connection, PgConnection};
use tokio::time::{interval, timeout};

/// Starting takes about a second, stopping less; the rest is for a machine under load.
const PATIENCE: Duration = Duration::from_mins(1);

async fn started(settings: Settings) -> PrivatePostgres {
    tokio::task::spawn_blocking(move || PrivatePostgres::start(&settings))
        .await
        .unwrap()
        .unwrap()
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn it_serves_as_told_and_stop_leaves_nothing_behind() {
    let postgres = started(Settings::fast().with("work_mem", "5MB")).await;
    let (port, data_dir) = (postgres.port(), postgres.data_dir());
    let mut connection = PgConnection::connect(&postgres.url("postgres"))
        .await
        .unwrap();
    for (name, expected) in [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "200"),
        ("work_mem", "5MB"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(setting(&mut connection, name).await, expected, "{name}");
    }
    let pid_file = std::fs::read_to_string(data_dir.join("postmaster.pid")).unwrap();
    assert!(pid_file.starts_with(&format!("{}\n", postgres.postmaster_pid())));

    // The session is still open: stop does not wait for it.
    tokio::task::spawn_blocking(|| postgres.stop())
        .await
        .unwrap()
        .unwrap();
    assert!(is_gone(port, &data_dir));
}

#[tokio::test]
async fn several_run_side_by_side_and_dropping_one_ends_only_that_one() {
    let (one, two) = tokio::join!(started(Settings::fast()), started(Settings::default()));
    assert_ne!(one.port(), two.port());
    let (port, data_dir) = (one.port(), one.data_dir());
    drop(one);
    assert!(is_gone(port, &data_dir));
    let mut connection = PgConnection::connect(&two.url("postgres")).await.unwrap();
    assert_eq!(setting(&mut connection, "fsync").await, "on");
}

#[tokio::test]
async fn kill_9_of_its_holder_ends_the_server_and_removes_its_directory() {
    let mut holder = ChildHoldingOne::start();
    let (port, data_dir) = holder.port_and_data_dir();
    assert!(!is_gone(port, Path::new(&data_dir)));

    // std's kill is SIGKILL.
    holder.0.kill().unwrap();
    holder.0.wait().unwrap();

    let gone = async {
        let mut tick = interval(Duration::from_millis(20));
        while !is_gone(port, Path::new(&data_dir)) {
            tick.tick().await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("the server outlived its holder");
}

/// Not a test by itself: the holder that the test above runs as a process of its own.
#[test]
#[ignore = "runs until it is killed; started by kill_9_of_its_holder_…"]
fn holder() {
    let postgres = PrivatePostgres::start(&Settings::fast()).unwrap();
    println!();
    println!(
        "HOLDS {} {}",
        postgres.port(),
        postgres.data_dir().display()
    );
    std::io::stdin().lines().for_each(drop);
}

struct ChildHoldingOne(Child);

impl ChildHoldingOne {
    fn start() -> Self {
        let test_binary = std::env::current_exe().unwrap();
        let child = Command::new(test_binary)
            .args(["--exact", "holder", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn port_and_data_dir(&mut self) -> (u16, String) {
        let stdout = BufReader::new(self.0.stdout.take().unwrap());
        let line = stdout
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("HOLDS ").map(str::to_owned))
            .expect("the holder did not start");
        let (port, data_dir) = line.split_once(' ').unwrap();
        (port.parse().unwrap(), data_dir.to_owned())
    }
}

impl Drop for ChildHoldingOne {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The keeper removes the directory last, after the server has ended.
fn is_gone(port: u16, data_dir: &Path) -> bool {
    let directory = data_dir.parent().unwrap();
    !directory.exists() && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}
