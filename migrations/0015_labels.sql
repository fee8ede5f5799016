-- What the vendor calls a delivery's state (WIRE.md 1.3).

CREATE OR REPLACE VIEW posthorn.delivery_status AS
SELECT e.merchant, s.name AS subscription, e.transaction_id, e.kind, e.status,
       d.state, d.attempts, d.reason, e.created_at, d.next_attempt_at, d.finished_at,
       d.event_id, d.subscription_id, d.generation,
       coalesce(coalesce(
           (SELECT l.labels FROM posthorn.locks l
             WHERE l.labels IS NOT NULL
               AND (l.merchant IS NULL OR l.merchant = s.merchant)
               AND (l.profile IS NULL OR l.profile = s.profile)
             ORDER BY l.merchant IS NULL, l.profile IS NULL, l.name LIMIT 1),
           s.labels, p.labels) ->> d.state::text, d.state::text) AS label
  FROM (SELECT event_id, subscription_id, generation, state, attempts, reason,
               NULL::timestamptz AS next_attempt_at, finished_at
          FROM posthorn.deliveries
        UNION ALL
        SELECT event_id, subscription_id, generation, state, attempts, reason,
               due_at, NULL::timestamptz
          FROM posthorn.pending_deliveries) AS d
  JOIN posthorn.events e ON e.id = d.event_id
  LEFT JOIN posthorn.transaction_subscriptions t ON t.id = d.subscription_id
  JOIN posthorn.subscriptions s ON s.id = coalesce(t.template_id, d.subscription_id)
  LEFT JOIN posthorn.profiles p ON p.name = s.profile;
COMMENT ON COLUMN posthorn.delivery_status.label IS 'The state in the vendor''s words: labels of the lock, the subscription or the profile; else the state''s own name.';
