//! One private PostgreSQL for the test process, and a database in it for each test, which
//! belongs to a plain role.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use posthorn::config::builtin_profiles;
use posthorn::demo::postgres::{OWNER, PrivatePostgres, SUPERUSER, Settings};
use posthorn::store::schema::migrate;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{PATIENCE, posthorn, until};

const TEMPLATE: &str = "migrated";

/// Its keeper ends it with this process: a `static` is never dropped.
static POSTGRES: OnceLock<PrivatePostgres> = OnceLock::new();
static MIGRATED: OnceCell<()> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of one test, as its owner sees it.
pub struct Database {
    pub name: String,
    pub url: String,
    pub pool: PgPool,
}

/// A row of `posthorn.delivery_status`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Delivery {
    pub subscription: String,
    pub state: String,
    pub attempts: i32,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// A row of `posthorn.attempts`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Attempted {
    pub outcome: String,
    pub http_status: Option<i16>,
    pub reason: String,
}

/// A URL of PostgreSQL that leads to another address.
pub fn through(url: &str, address: SocketAddr) -> String {
    let (head, database) = url.rsplit_once('/').unwrap();
    let (user, _) = head.split_once('@').unwrap();
    format!("{user}@{address}/{database}")
}

impl Database {
    /// With the schema. It is migrated once and copied for each test.
    pub async fn new() -> Self {
        MIGRATED
            .get_or_init(async || {
                let template = Self::create(TEMPLATE, "template0").await;
                migrate(&template.url.clone().into(), None, &builtin_profiles())
                    .await
                    .unwrap();
                // Copying needs a database that nobody is connected to.
                template.pool.close().await;
            })
            .await;
        let copy = Self::create(&numbered(), TEMPLATE).await;
        // Its tables are to count as made here, and not as a copy's of others.
        copy.execute("UPDATE posthorn.shards SET cluster = posthorn.cluster()")
            .await;
        copy
    }

    /// With a schema that a newer Posthorn made.
    pub async fn from_the_future() -> Self {
        let newer = Self::new().await;
        newer
            .execute(
                "INSERT INTO posthorn.migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', true, '', 0)",
            )
            .await;
        newer
    }

    /// Without the schema.
    pub async fn empty() -> Self {
        Self::create(&numbered(), "template0").await
    }

    /// In a PostgreSQL of its own, which the test may stop or break. It is
    /// returned beside the database, and ends when it is dropped.
    pub async fn alone(settings: Settings) -> (Self, PrivatePostgres) {
        let postgres =
            tokio::task::spawn_blocking(move || PrivatePostgres::start(&settings).unwrap())
                .await
                .unwrap();
        let database = Self::connect("postgres", postgres.url("postgres"));
        migrate(&database.url.clone().into(), None, &builtin_profiles())
            .await
            .unwrap();
        (database, postgres)
    }

    async fn create(name: &str, template: &str) -> Self {
        let postgres = tokio::task::spawn_blocking(|| {
            POSTGRES.get_or_init(|| {
                let settings = Settings::fast().with("max_connections", "500");
                PrivatePostgres::start(&settings).unwrap()
            })
        })
        .await
        .unwrap();
        Self::create_in(postgres, name, template).await
    }

    /// A copy of a database such as `template0`; the plain role [`OWNER`] owns it.
    pub async fn create_in(postgres: &PrivatePostgres, name: &str, template: &str) -> Self {
        Self::connect("postgres", postgres.url("postgres"))
            .as_superuser(&format!(
                "CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}"
            ))
            .await;
        Self::connect(name, postgres.url(name))
    }

    pub fn connect(name: &str, url: String) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(PATIENCE)
            .connect_lazy(&url)
            .unwrap();
        let name = name.to_owned();
        Self { name, url, pool }
    }

    /// The same database for another role, which needs no password.
    pub fn url_of(&self, role: &str) -> String {
        self.url
            .replacen(&format!("{OWNER}@"), &format!("{role}@"), 1)
    }

    /// What only an administrator may do, such as CREATE ROLE: any number of statements.
    pub async fn as_superuser(&self, sql: &str) {
        let mut session = PgConnection::connect(&self.url_of(SUPERUSER))
            .await
            .unwrap();
        let statements = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        if let Err(error) = session.execute(statements).await {
            panic!("{sql}: {error}");
        }
        session.close().await.unwrap();
    }

    /// Makes a role that may log in, and returns its name, which begins so.
    pub async fn login(&self, name: &str) -> String {
        let role = format!("{name}_{}", self.name);
        self.as_superuser(&format!("CREATE ROLE {role} LOGIN"))
            .await;
        role
    }

    /// Gives a role a part, such as `--worker`, by the command that operators use.
    pub async fn grant(&self, part: &str, role: &str) {
        let (status, said) = posthorn(&["grant", part, role, "--database-url", &self.url]).await;
        assert!(status.success(), "{said}");
    }

    /// Takes the records of an event away, as a fault or somebody with a superuser's rights
    /// would.
    pub async fn forget(&self, event: Uuid) {
        self.as_superuser(&format!(
            "SET LOCAL session_replication_role = replica;
             DELETE FROM posthorn.attempts WHERE event_id = '{event}';
             DELETE FROM posthorn.deliveries WHERE event_id = '{event}'"
        ))
        .await;
    }

    /// Any number of statements without parameters.
    pub async fn execute(&self, sql: &str) {
        if let Err(error) = self.try_execute(sql).await {
            panic!("{sql}: {error}");
        }
    }

    /// Makes a day one that was today once: its partitions are there.
    pub async fn make_day(&self, days_ago: i32) {
        self.execute(&format!(
            "DO $$
             DECLARE parent text; day date := current_date - {days_ago};
             BEGIN
                 FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
                     EXECUTE format('CREATE TABLE posthorn.%I PARTITION OF posthorn.%I FOR VALUES FROM (%L) TO (%L)',
                         parent || to_char(day, '_YYYYMMDD'), parent,
                         posthorn.uuid_floor(day::timestamptz), posthorn.uuid_floor((day + 1)::timestamptz));
                 END LOOP;
             END $$"
        ))
        .await;
    }

    pub async fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        self.pool.execute(sql).await.map(|_| ())
    }

    /// The one value of the one row that a query returns.
    pub async fn value<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        match sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.pool)
            .await
        {
            Ok(value) => value,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// Waits until the number that a query returns is as wanted.
    pub async fn counts(&self, what: &str, sql: &str, is_met: impl Fn(i64) -> bool) {
        until(PATIENCE, what, async || {
            is_met(self.value(sql).await).then_some(())
        })
        .await;
    }

    /// Inserts a subscription that has been there, with all that is configured, since before any
    /// event.
    pub async fn subscribe_long_ago(&self, merchant: &str, name: &str, mut settings: Value) {
        settings["created_at"] = "2020-01-01T00:00:00Z".into();
        self.subscribe(merchant, name, settings).await;
        self.as_superuser(
            "SET LOCAL session_replication_role = replica;
             UPDATE posthorn.config_history SET changed_at = '2020-01-01'",
        )
        .await;
    }

    /// Inserts a subscription; `settings` is an object whose keys are columns.
    pub async fn subscribe(&self, merchant: &str, name: &str, settings: Value) -> Uuid {
        let mut row = settings;
        row["merchant"] = merchant.into();
        row["name"] = name.into();
        let columns: Vec<_> = row.as_object().unwrap().keys().collect();
        let columns = format!(
            "\"{}\"",
            columns
                .iter()
                .map(|c| c.as_str())
                .collect::<Vec<_>>()
                .join("\", \"")
        );
        sqlx::query_scalar(AssertSqlSafe(format!(
            "INSERT INTO posthorn.subscriptions ({columns})
             SELECT {columns} FROM jsonb_populate_record(NULL::posthorn.subscriptions, $1)
             RETURNING id"
        )))
        .bind(row)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Publishes an event of the kind `payment` in a transaction of its own; `data` is JSON
    /// text. Returns its id.
    pub async fn publish(
        &self,
        merchant: &str,
        transaction: &str,
        status: &str,
        data: &str,
    ) -> Uuid {
        sqlx::query_scalar("SELECT posthorn.publish($1, 'payment', $2, $3, $4::json)")
            .bind(merchant)
            .bind(transaction)
            .bind(status)
            .bind(data)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// What people see of an event's deliveries, by the subscription's name.
    pub async fn deliveries(&self, event: Uuid) -> Vec<Delivery> {
        sqlx::query_as(
            "SELECT subscription, state::text, attempts, reason, created_at, next_attempt_at
               FROM posthorn.delivery_status WHERE event_id = $1 ORDER BY subscription, generation",
        )
        .bind(event)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Subscribes a URL to what `acme` publishes, and returns an event that was delivered to it.
    pub async fn delivers_to(&self, url: &str) -> Uuid {
        self.subscribe("acme", "all", json!({ "url": url })).await;
        let event = self.publish("acme", "t1", "approved", "{}").await;
        self.reaches(event, "delivered").await;
        event
    }

    /// What is recorded of the attempts for an event, in order; by the subscription's name.
    pub async fn attempts(&self, event: Uuid, subscription: &str) -> Vec<Attempted> {
        sqlx::query_as(
            "SELECT a.outcome::text, a.http_status, a.reason
               FROM posthorn.attempts a JOIN posthorn.delivery_status d USING (event_id, subscription_id, generation)
              WHERE a.event_id = $1 AND d.subscription = $2 ORDER BY a.number",
        )
        .bind(event)
        .bind(subscription)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Waits until the event's one delivery is in a state, such as `delivered`.
    pub async fn reaches(&self, event: Uuid, state: &str) -> Delivery {
        let what = format!("a delivery that is {state}");
        until(PATIENCE, &what, async || {
            let found = self.deliveries(event).await.into_iter().next();
            found.filter(|delivery| delivery.state == state)
        })
        .await
    }

    /// Waits until so many deliveries of the whole database are in a state.
    pub async fn count_reaches(&self, state: &str, count: i64) {
        let what = format!("{count} deliveries that are {state}");
        let sql = format!("SELECT count(*) FROM posthorn.delivery_status WHERE state = '{state}'");
        self.counts(&what, &sql, |found| found == count).await;
    }
}

fn numbered() -> String {
    format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
