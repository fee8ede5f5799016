//! A batch turned on its side: PostgreSQL takes it as one array per column.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::flow::entry::{Attempt, Change, Entry};
use crate::model::{Epoch, Sent, Shard, TlsVersion};

/// The entries of a batch, by what the statement does with them.
#[derive(Default)]
pub(super) struct Columns<'a> {
    /// The shards of all entries, with the epochs under which they came about.
    pub held: BTreeMap<Shard, Epoch>,
    pub finishes: Finishes<'a>,
    pub waits: Waits<'a>,
    pub attempts: Attempts<'a>,
    pub newer: Newer<'a>,
}

/// Which deliveries the rows are of.
#[derive(Default)]
pub(super) struct Keys {
    pub events: Vec<Uuid>,
    pub subscriptions: Vec<Uuid>,
    pub generations: Vec<i32>,
    pub shards: Vec<i16>,
}

/// Deliveries that have ended.
#[derive(Default)]
pub(super) struct Finishes<'a> {
    pub keys: Keys,
    pub states: Vec<&'static str>,
    pub attempts: Vec<i32>,
    pub reasons: Vec<Option<&'a str>>,
    pub had_row: Vec<bool>,
}

/// Deliveries that wait in the database: for a retry, or because memory is full.
#[derive(Default)]
pub(super) struct Waits<'a> {
    pub keys: Keys,
    pub transactions: Vec<&'a str>,
    pub templates: Vec<Option<Uuid>>,
    pub attempts: Vec<i32>,
    pub turned_away: Vec<i32>,
    /// How long they wait, in seconds.
    pub delays: Vec<f64>,
    /// The endpoint said itself for how long.
    pub told: Vec<bool>,
    pub reasons: Vec<Option<&'a str>>,
}

/// Attempts that were made, whatever their deliveries have become.
#[derive(Default)]
pub(super) struct Attempts<'a> {
    pub keys: Keys,
    pub numbers: Vec<i32>,
    pub started: Vec<DateTime<Utc>>,
    /// How long they took, in microseconds.
    pub durations: Vec<i32>,
    pub outcomes: Vec<&'static str>,
    pub statuses: Vec<Option<i16>>,
    pub reasons: Vec<&'a str>,
    pub bodies: Vec<Option<&'a str>>,
    pub revisions: Vec<i64>,
    pub sent: SentColumns<'a>,
}

/// What was sent in each attempt, and to whom; nulls where nothing was.
#[derive(Default)]
pub(super) struct SentColumns<'a> {
    pub tls: Vec<Option<i16>>,
    pub peers: Vec<Option<String>>,
    pub proxies: Vec<Option<String>>,
    pub heads: Vec<Option<&'a [u8]>>,
    pub payloads: Vec<Option<&'a [u8]>>,
}

/// Events to which the older ones of their transactions give way, but for those excepted.
#[derive(Default)]
pub(super) struct Newer<'a> {
    pub keys: Keys,
    pub transactions: Vec<&'a str>,
    pub except_events: Vec<Uuid>,
    pub except_subscriptions: Vec<Uuid>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(entries: &'a [Entry]) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            columns.held.insert(entry.shard, entry.epoch);
            columns.push_change(entry);
            if let Some(attempt) = &entry.attempt {
                columns.attempts.push(entry, attempt);
            }
        }
        columns
    }

    fn push_change(&mut self, entry: &'a Entry) {
        match &entry.change {
            Change::Finish {
                state,
                attempts,
                reason,
                had_row,
            } => {
                let finishes = &mut self.finishes;
                finishes.keys.push(entry);
                finishes.states.push(state.as_str());
                finishes.attempts.push(int(*attempts));
                finishes.reasons.push(reason.as_deref());
                finishes.had_row.push(*had_row);
            }
            Change::Retry {
                attempts,
                turned_away,
                told_to_wait,
                delay,
                reason,
            } => {
                self.waits.push(entry, *attempts, *delay, Some(reason));
                self.waits.turned_away.push(int(*turned_away));
                self.waits.told.push(*told_to_wait);
            }
            Change::Spill => {
                self.waits.push(entry, 0, Duration::ZERO, None);
                self.waits.turned_away.push(0);
                self.waits.told.push(false);
            }
            Change::SupersedeOlder { except } => {
                let newer = &mut self.newer;
                newer.keys.push(entry);
                newer.transactions.push(&entry.transaction_id);
                for key in except {
                    newer.except_events.push(key.event_id);
                    newer.except_subscriptions.push(key.subscription_id);
                }
            }
        }
    }
}

impl Keys {
    fn push(&mut self, entry: &Entry) {
        self.events.push(entry.key.event_id);
        self.subscriptions.push(entry.key.subscription_id);
        self.generations.push(entry.key.generation);
        self.shards.push(entry.shard.0);
    }
}

impl<'a> Waits<'a> {
    fn push(&mut self, entry: &'a Entry, attempts: u32, delay: Duration, reason: Option<&'a str>) {
        self.keys.push(entry);
        self.transactions.push(&entry.transaction_id);
        self.templates.push(entry.template_id());
        self.attempts.push(int(attempts));
        self.delays.push(delay.as_secs_f64());
        self.reasons.push(reason);
    }
}

impl<'a> Attempts<'a> {
    fn push(&mut self, entry: &Entry, attempt: &'a Attempt) {
        let micros = attempt.duration.as_micros();
        let status = attempt.http_status;
        self.keys.push(entry);
        self.numbers.push(int(attempt.number));
        self.started.push(attempt.started_at);
        self.durations
            .push(i32::try_from(micros).unwrap_or(i32::MAX));
        self.outcomes.push(attempt.outcome.as_str());
        self.statuses
            .push(status.and_then(|status| i16::try_from(status).ok()));
        self.reasons.push(&attempt.reason);
        self.bodies.push(attempt.body.as_deref());
        self.revisions.push(attempt.revision);
        self.sent.push(attempt.sent.as_ref());
    }
}

impl<'a> SentColumns<'a> {
    fn push(&mut self, sent: Option<&'a Sent>) {
        let peer = sent.map(|sent| sent.peer);
        let tls = peer.and_then(|peer| peer.tls);
        self.tls.push(tls.map(|version| match version {
            TlsVersion::V1_2 => 12,
            TlsVersion::V1_3 => 13,
        }));
        self.peers.push(peer.map(|peer| peer.address.to_string()));
        let proxy = peer.and_then(|peer| peer.proxy);
        self.proxies.push(proxy.map(|proxy| proxy.to_string()));
        self.heads.push(sent.map(|sent| &sent.head_digest[..]));
        self.payloads
            .push(sent.map(|sent| &sent.payload_digest[..]));
    }
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
