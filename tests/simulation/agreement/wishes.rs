//! Addresses that transactions brought, statuses before an event, and replays.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta};
use posthorn::flow::refill::{Refilled, Waiting};
use posthorn::model::event::StatusesBefore;
use posthorn::model::{Endpoint, Event, State};
use posthorn::store::replays::{advance_replays, count_replays, find_withdrawn, steer_replay};
use posthorn::store::transactions::{
    end_transaction_subscription, find_endpoints, find_statuses_before,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Both, LANES, same};
use crate::database::{Brought, Replay, ReplayState, Transaction};

impl Both {
    /// A session's transaction brings an address with an event. No two sessions bring the same
    /// one at a time: the second would wait for the first.
    pub(super) async fn bring(
        &mut self,
        session: &mut PgConnection,
        transaction: Transaction,
        (number, event): (usize, &Event),
    ) {
        let lanes = self.lanes.iter();
        let mut of_merchant = lanes.filter(|(_, _, merchant)| **merchant == *event.merchant);
        let template_id = of_merchant.nth(LANES.len() - 1).unwrap().0;
        let url = format!("https://merchant.example/{number}");
        let id: Option<Uuid> = sqlx::query_scalar(
            "INSERT INTO posthorn.transaction_subscriptions
                    (template_id, merchant, transaction_id, url, created_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(template_id)
        .bind(&*event.merchant)
        .bind(&*event.transaction_id)
        .bind(&url)
        .bind(event.created_at)
        .fetch_optional(session)
        .await
        .unwrap();
        let brought = Brought {
            // One that is there already has another.
            id: id.unwrap_or_default(),
            xid: transaction.xid,
            template_id,
            merchant: event.merchant.clone(),
            transaction_id: event.transaction_id.clone(),
            url: Some(url.into()),
            created_at: event.created_at,
            ended: false,
        };
        self.model.bring(transaction, brought);
    }

    /// Which addresses get the events that were read, and what their status was before.
    pub(super) async fn look_at_transactions(&mut self) -> Result<(), String> {
        let events = self.events.iter();
        let events = events.filter(|_| self.chance.happens(0.3)).cloned();
        let events: Vec<Event> = events.collect();
        let named: Vec<&Event> = events.iter().collect();
        let endpoints = |all: BTreeMap<Uuid, Vec<(Uuid, Endpoint)>>| {
            let all = all.into_iter().flat_map(|(event, endpoints)| {
                let endpoints = endpoints.into_iter();
                endpoints.map(move |(id, it)| (event, id, it.template_id, it.url))
            });
            all.collect::<BTreeSet<_>>()
        };
        let ours = self.model.find_endpoints(&events).into_iter().collect();
        let theirs = find_endpoints(&self.pool, &named).await.unwrap();
        let theirs = theirs.into_iter().collect();
        same("endpoints", endpoints(ours), endpoints(theirs))?;
        let sorted = |all: StatusesBefore| all.into_iter().collect::<BTreeMap<_, _>>();
        let plan = self.model.plan();
        let ours = self.model.find_statuses_before(&plan, &events);
        let theirs = find_statuses_before(&self.pool, &named).await.unwrap();
        same("statuses before", sorted(ours), sorted(theirs))
    }

    pub(super) async fn end_an_address(&mut self) -> Result<(), String> {
        let committed = self.model.brought.values();
        let committed = committed.filter(|it| self.model.is_committed(it.xid));
        let ids: Vec<Uuid> = committed.map(|it| it.id).collect();
        if ids.is_empty() || self.chance.happens(0.5) {
            return Ok(());
        }
        let id = self.chance.one_of(&ids);
        let ours = self.model.end_transaction_subscription(id);
        let theirs = end_transaction_subscription(&self.pool, id).await.unwrap();
        same("an end", ours, theirs)?;
        self.rows().await
    }

    /// One is asked for, or another state of one.
    pub(super) async fn replay(&mut self) -> Result<(), String> {
        if self.events.is_empty() {
            return Ok(());
        }
        if !self.model.replays.is_empty() && self.chance.happens(0.6) {
            return self.steer().await;
        }
        let event = &self.events[self.chance.below(self.events.len())];
        let (merchant, transaction_id) = (event.merchant.clone(), event.transaction_id.clone());
        let lanes = self.lanes.iter();
        let of_merchant = lanes.filter(|(_, _, other)| **other == *merchant);
        let lanes: Vec<Uuid> = of_merchant.map(|(id, ..)| *id).collect();
        let subscription = self.chance.one_of(&lanes);
        let subscription = self.chance.happens(0.3).then_some(subscription);
        let transaction_id = self.chance.happens(0.3).then_some(transaction_id);
        let states = self.chance.one_of(&[
            &[State::Delivered, State::PostingError, State::Cancelled][..],
            &[State::PostingError, State::Superseded],
            &[State::Cancelled],
        ]);
        let rate = self.chance.one_of(&[10.0, 40.0, 1_000.0]);
        let named: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let id: Uuid =
            sqlx::query_scalar("SELECT posthorn.replay($1, $2, $3, NULL, $4, NULL, NULL, $5)")
                .bind(&*merchant)
                .bind(subscription.map(|id| id.to_string()))
                .bind(transaction_id.as_deref())
                .bind(&named)
                .bind(rate)
                .fetch_one(&self.server.pool)
                .await
                .unwrap();
        let (after, beyond): (Uuid, Uuid) = sqlx::query_as(
            "SELECT after_event, posthorn.uuid_floor(until) FROM posthorn.replays WHERE id = $1",
        )
        .bind(id)
        .fetch_one(&self.server.pool)
        .await
        .unwrap();
        self.model.open_replay(Replay {
            id,
            state: ReplayState::Running,
            merchant: Some(merchant),
            subscription_id: subscription,
            transaction_id,
            states: states.to_vec(),
            rate,
            after: (after, Uuid::nil()),
            beyond,
            next_at: self.model.now(),
            opened: 0,
        });
        Ok(())
    }

    async fn steer(&mut self) -> Result<(), String> {
        let at = self.chance.below(self.model.replays.len());
        let id = self.model.replays[at].id;
        let (state, name) = self.chance.one_of(&[
            (ReplayState::Running, "running"),
            (ReplayState::Paused, "paused"),
            (ReplayState::Cancelling, "cancelling"),
        ]);
        let ours = self.model.steer_replay(id, state);
        let theirs = steer_replay(&self.pool, id, name).await;
        same("a replay's new state", ours, theirs.is_ok())
    }

    /// All of them are due, one after the other.
    pub(super) async fn advance(&mut self) -> Result<(), String> {
        let due = "UPDATE posthorn.replays r SET next_at = 'epoch'::timestamptz + n.number * interval '1 s'
                     FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM posthorn.replays) n
                    WHERE n.id = r.id";
        sqlx::raw_sql(due).execute(&self.server.pool).await.unwrap();
        for (at, replay) in (1..).zip(&mut self.model.replays) {
            replay.next_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(at);
        }
        let ours = self.model.advance_replays();
        let theirs = advance_replays(&self.pool).await.unwrap();
        same(
            "an advance",
            (ours.opened, ours.running),
            (theirs.opened, theirs.running),
        )?;
        let ours = self.model.replays.iter();
        let ours: Vec<_> = ours
            .map(|replay| {
                let state = format!("{:?}", replay.state).to_lowercase();
                let opened = i64::try_from(replay.opened).unwrap();
                (replay.id, state, opened)
            })
            .collect();
        let theirs: Vec<(Uuid, String, i64)> =
            sqlx::query_as("SELECT id, state::text, opened FROM posthorn.replays ORDER BY id")
                .fetch_all(&self.server.pool)
                .await
                .unwrap();
        same("replays", ours, theirs)?;
        self.rows().await?;
        self.look_at_replays().await
    }

    async fn look_at_replays(&mut self) -> Result<(), String> {
        let worker = self.chance.one_of(&self.workers);
        let rows = |waiting: Vec<Waiting>| {
            let rows = waiting.into_iter().map(|it| (it.lane_id, it.rows));
            rows.collect::<BTreeSet<_>>()
        };
        let ours = self.model.count_replays(worker);
        let theirs = count_replays(&self.pool, worker).await.unwrap();
        same("replays that wait", rows(ours), rows(theirs))?;
        let keys = |rows: Vec<Refilled>| {
            let keys = rows.into_iter();
            let keys = keys.map(|row| (row.key, row.lane_id, row.attempts));
            keys.collect::<BTreeSet<_>>()
        };
        let ours = self.model.find_withdrawn(worker, 1000);
        let theirs = find_withdrawn(&self.pool, worker, 1000).await.unwrap();
        same("what is withdrawn", keys(ours), keys(theirs))
    }
}
