//! Approves a payment and publishes that, in one transaction.
//!
//! ```sh
//! DATABASE_URL=postgres://… cargo run --example approve -- T-1
//! ```
//!
//! The table is the application's own: `CREATE TABLE payments (id text PRIMARY KEY, status text)`.

use posthorn_publish::{Event, publish};
use serde::Serialize;
use sqlx::{Connection, PgConnection};

#[derive(Serialize)]
struct Payment<'a> {
    amount: &'a str,
    currency: &'a str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let id = std::env::args().nth(1).ok_or("which payment?")?;
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL")?).await?;

    let mut tx = connection.begin().await?;
    sqlx::query("UPDATE payments SET status = 'approved' WHERE id = $1")
        .bind(&id)
        .execute(&mut *tx)
        .await?;
    let payment = Payment {
        amount: "12.50",
        currency: "EUR",
    };
    let event = Event::new("acme", "payment.approved", id, "approved").data(&payment)?;
    let event_id = publish(&mut *tx, &event).await?;
    tx.commit().await?;

    println!("published {event_id}");
    Ok(())
}
