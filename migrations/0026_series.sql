-- The open deliveries of a subscription's transaction by one expression. Under the columns
-- themselves a look-up by the table's key could take this index as well: while the table is
-- empty, which it is as a rule, both cost the planner the same, and a session that had planned
-- then walked through all of a subscription's deliveries for each one that ended.
DROP INDEX posthorn.pending_deliveries_transaction;
CREATE INDEX pending_deliveries_series
    ON posthorn.pending_deliveries ((subscription_id::text || transaction_id));
COMMENT ON INDEX posthorn.pending_deliveries_series IS
    'Finds the open deliveries of a subscription''s transaction. A UUID''s text has 36 characters always.';
