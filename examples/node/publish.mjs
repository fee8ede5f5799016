// Approves a payment and publishes that, in one transaction.

import pg from "pg";

const payment = process.argv[2];
const data = { amount: "12.50", currency: "EUR" };

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
try {
  await client.query("BEGIN");
  await client.query("UPDATE payments SET status = 'approved' WHERE id = $1", [payment]);
  const { rows } = await client.query(
    "SELECT posthorn.publish($1, $2, $3, $4, $5) AS event",
    ["acme", "payment.approved", payment, "approved", JSON.stringify(data)],
  );
  await client.query("COMMIT");
  console.log("published", rows[0].event);
} finally {
  // Whatever has not committed by now rolls back.
  await client.end();
}
