//! What the feed brings: shards, subscriptions, and events for the lanes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Dispatcher;
use super::Owned;
use super::item::{Item, RowState, Trial};
use super::lane::{Lane, Offer};
use crate::flow::entry::{Change, PageId};
use crate::flow::input::{Adoption, PageToRoute};
use crate::flow::refill::Waiting;
use crate::model::{DeliveryKey, Endpoint, Event, Shard, Snapshot, State, Subscription};
use crate::shape::within_bounds;

/// An event for a subscription, or for an endpoint that its transaction brought.
struct Routed {
    /// Whose lane it takes.
    subscription: Arc<Subscription>,
    event: Arc<Event>,
    brought: Option<(Uuid, Arc<Endpoint>)>,
}

impl Dispatcher {
    pub(super) fn adopt(&mut self, adoption: Adoption, now: Instant) {
        for (shard, epoch) in adoption.shards {
            self.owned.insert(
                shard,
                Owned {
                    epoch,
                    unrecorded: 0,
                    caught_up: false,
                },
            );
            self.checkpoints.adopt(shard);
        }
        for subscription in adoption.subscriptions {
            self.routes.upsert(subscription);
        }
        self.found_waiting(adoption.waiting, now);
    }

    /// Opens the lanes of deliveries that wait in the database, and notes the next time.
    pub(super) fn found_waiting(&mut self, waiting: Vec<Waiting>, now: Instant) {
        for Waiting {
            lane_id: id,
            replays,
            rows,
            due_in,
            told_to_wait,
            ..
        } in waiting
        {
            let Some(subscription) = self.routes.get(id).cloned() else {
                continue;
            };
            self.open_lane(&subscription, now);
            self.lanes.with(id, |lane| {
                if let Some(wait) = told_to_wait {
                    lane.wait_until(now + wait);
                }
                if replays {
                    lane.shelf.found_replays(rows, now + due_in);
                } else {
                    lane.shelf.found(rows, now + due_in);
                }
            });
            self.lanes.look_at(id);
        }
    }

    /// Lanes that are not among these have no replay that waits: one that was cancelled is gone.
    pub(super) fn found_replays(&mut self, waiting: Vec<Waiting>, now: Instant) {
        let with_replays = waiting.iter().map(|waiting| waiting.lane_id).collect();
        self.lanes.without_replays_but(&with_replays);
        self.found_waiting(waiting, now);
    }

    pub(super) fn configure(&mut self, changed: Vec<Arc<Subscription>>, now: Instant) {
        for subscription in changed {
            let known = self.routes.get(subscription.id);
            // Of the same revision there is news only where it can be used by now, or no longer.
            let is_news = known.is_none_or(|known| {
                known.revision < subscription.revision
                    || known.revision == subscription.revision
                        && known.unusable != subscription.unusable
            });
            let Some(Owned { caught_up, .. }) = self.owned.get(&subscription.shard).copied() else {
                continue;
            };
            if is_news {
                self.lanes.with(subscription.id, |lane| {
                    lane.configure(Arc::clone(&subscription), now);
                    if !caught_up {
                        lane.falls_behind_log();
                    }
                });
                self.lanes.look_at(subscription.id);
                self.routes.upsert(subscription);
            }
        }
    }

    pub(super) fn route(&mut self, page: PageToRoute, taken: oneshot::Sender<()>, now: Instant) {
        self.out.metrics.events_read(page.events.len() as u64);
        let id = self.checkpoints.next_page();
        let routed = self.wanted(page);
        let mut counts: BTreeMap<Shard, usize> = BTreeMap::new();
        for Routed { event, .. } in &routed {
            *counts.entry(event.shard).or_default() += 1;
        }
        for (shard, count) in counts {
            self.checkpoints.page_read(shard, id, count);
        }
        self.out.metrics.deliveries_routed(routed.len() as u64);
        for one in routed {
            self.offer(one, id, now);
        }
        // The feed may be gone by now, at the end.
        let _ = taken.send(());
    }

    /// Who gets the events of a page, but for deliveries that have a row.
    fn wanted(&self, page: PageToRoute) -> Vec<Routed> {
        let PageToRoute {
            events,
            known,
            mut endpoints,
            before,
            versions,
        } = page;
        let is_new = |event: &Event, id: Uuid| {
            known.is_empty() || !known.contains(&DeliveryKey::first(event.id, id))
        };
        let mut routed: Vec<Routed> = Vec::with_capacity(events.len());
        for event in events
            .into_iter()
            .filter(|event| self.owned.contains_key(&event.shard))
        {
            let before = before.get(&event.id).map(|status| &**status);
            let wanted = self.routes.matches(&event, before, &versions);
            let wanted = wanted.filter(|subscription| is_new(&event, subscription.id));
            routed.extend(wanted.map(|subscription| Routed {
                subscription: Arc::clone(subscription),
                event: Arc::clone(&event),
                brought: None,
            }));
            if endpoints.is_empty() {
                continue;
            }
            for (id, endpoint) in endpoints.remove(&event.id).unwrap_or_default() {
                let template =
                    self.routes
                        .template(endpoint.template_id, &event, before, &versions);
                if let Some(template) = template.filter(|_| is_new(&event, id)) {
                    routed.push(Routed {
                        subscription: Arc::clone(template),
                        event: Arc::clone(&event),
                        brought: Some((id, Arc::new(endpoint))),
                    });
                }
            }
        }
        routed
    }

    fn offer(&mut self, routed: Routed, page: PageId, now: Instant) {
        let Routed {
            subscription,
            event,
            brought,
        } = routed;
        let (id, endpoint) = match brought {
            Some((id, endpoint)) => (id, Some(endpoint)),
            None => (subscription.id, None),
        };
        let item = Item {
            key: DeliveryKey::first(event.id, id),
            lane_id: subscription.id,
            opened_at: event.created_at,
            event,
            endpoint,
            attempts: 0,
            turned_away: 0,
            row: RowState::None,
            page: Some(page),
            since: now,
            trial: Trial::default(),
        };
        self.open_lane(&subscription, now);
        if let Err(too_large) = within_bounds(&item.event, self.settings.max_data_bytes) {
            let reason = Some(too_large.to_string());
            self.finish(&item, State::PostingError, 0, reason, None);
            return;
        }
        if subscription.supersede && self.supersede(&item) {
            return;
        }
        let pressure = self.pressure();
        match self
            .lanes
            .with(subscription.id, |lane| lane.offer(item, pressure, now))
        {
            Some(Offer::Shelved(item)) => self.spill(&item, now),
            Some(Offer::Queued) | None => {}
        }
        self.lanes.look_at(subscription.id);
    }

    /// Supersedes the older ones of the series; true if it is superseded itself and has ended.
    pub(super) fn supersede(&mut self, item: &Item) -> bool {
        let series = item.series();
        let superseded = self
            .lanes
            .with(item.lane_id, |lane| lane.supersede(&series));
        let Some(result) = superseded else {
            return false;
        };
        for older in &result.queued {
            self.finish_superseded(older, older.attempts, None);
        }
        if result.look_in_rows {
            self.record(
                item,
                None,
                Change::SupersedeOlder {
                    except: result.in_the_air,
                },
                None,
            );
        }
        if result.itself {
            self.finish_superseded(item, item.attempts, None);
        }
        result.itself
    }

    pub(super) fn open_lane(&mut self, subscription: &Arc<Subscription>, now: Instant) {
        if let Some(owned) = self.owned.get(&subscription.shard) {
            let behind_log = !owned.caught_up;
            self.lanes
                .open(subscription, self.settings.lane, behind_log, now);
        }
    }

    /// The log has been read to the end of a window for these shards.
    pub(super) fn window_read(&mut self, shards: &[Shard], end: &Snapshot) {
        self.checkpoints.window_read(shards, end);
        for shard in shards {
            let Some(owned) = self.owned.get_mut(shard) else {
                continue;
            };
            if std::mem::replace(&mut owned.caught_up, true) {
                continue;
            }
            for id in self.lanes.of_shard(*shard) {
                self.lanes.with(id, Lane::caught_up);
                self.lanes.look_at(id);
            }
        }
    }
}
