//! Approves a payment and publishes that, in one transaction.

use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let id = std::env::args().nth(1).ok_or("which payment?")?;
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL")?).await?;

    let mut tx = connection.begin().await?;
    sqlx::query("UPDATE payments SET status = 'approved' WHERE id = $1")
        .bind(&id)
        .execute(&mut *tx)
        .await?;
    let data = json!({ "amount": "12.50", "currency": "EUR" });
    let event: Uuid = sqlx::query_scalar("SELECT posthorn.publish($1, $2, $3, $4, $5::json)")
        .bind("acme")
        .bind("payment.approved")
        .bind(&id)
        .bind("approved")
        .bind(data.to_string())
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;

    println!("published {event}");
    Ok(())
}
