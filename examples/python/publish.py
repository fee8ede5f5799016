"""Approves a payment and publishes that, in one transaction."""

import json
import os
import sys

import psycopg

payment = sys.argv[1]
data = {"amount": "12.50", "currency": "EUR"}

# The block is a transaction: it commits at its end, and rolls back at an exception.
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("UPDATE payments SET status = 'approved' WHERE id = %s", [payment])
    (event,) = connection.execute(
        "SELECT posthorn.publish(%s, %s, %s, %s, %s)",
        ["acme", "payment.approved", payment, "approved", json.dumps(data)],
    ).fetchone()

print("published", event)
