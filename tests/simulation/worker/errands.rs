//! What the dispatcher has done: attempts, with the real request, judgement and plan, and
//! refills.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures::future::Abortable;
use posthorn::dispatch::attempt::{conclude, prepare};
use posthorn::dispatch::errand::{Errand, Flight};
use posthorn::flow::input::{Failed, Input, Landed};
use posthorn::flow::refill::{LaneRefill, NextDue, RefillOrder, Refilled};
use posthorn::model::{Outcome, TokenKey};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::{Own, STATEMENT};
use crate::link::Away;
use crate::receiver::timed_out;

pub fn run(own: &Rc<Own>, errand: Errand, dispatcher: UnboundedSender<Input>) {
    match errand {
        Errand::Send(flight) => send(own, flight, dispatcher),
        Errand::Refill(order) => own.spawn(refill(Rc::clone(own), order, dispatcher)),
        Errand::Disable(_) => unreachable!("no status disables a subscription here"),
    }
}

fn send(own: &Rc<Own>, flight: Flight, dispatcher: UnboundedSender<Input>) {
    let Flight {
        item,
        lane_id,
        subscription,
        epoch,
        ends,
    } = flight;
    let (exchange, at_once) = {
        let mut receiver = own.world.receiver.borrow_mut();
        receiver.arrive(subscription.id, own.process)
    };
    let now = own.world.with_database(|database| database.now());
    let key = TokenKey::new(b"simulated");
    let nonce = own.chance.borrow_mut().number().to_be_bytes();
    let request = prepare(&item, &subscription, now, nonce, &key);
    let request = match request {
        Ok(request) => request,
        Err(error) => panic!("what is published here can be sent: {error}"),
    };
    own.world.note(format_args!(
        "{} sends {}/{} attempt {}",
        own.process,
        item.event.id,
        subscription.id,
        item.attempts + 1
    ));
    own.world
        .books
        .borrow_mut()
        .sent(&own.world, &item, &subscription, &request, at_once);
    let own_too = Rc::clone(own);
    let attempt = async move {
        let own = own_too;
        let answer = {
            let receiver = own.world.receiver.borrow();
            receiver.answer(subscription.id, &mut own.chance.borrow_mut())
        };
        let timeout = subscription.timeout;
        let (took, wire) = match answer {
            Some((after, wire)) if after < timeout => (after, wire),
            _ => (timeout, timed_out()),
        };
        own.sleep(took).await;
        exchange.is_over.set(true);
        let outcome = Outcome {
            wire,
            started_at: now,
            duration: took,
            sent: None,
            again: false,
        };
        let chance = own.chance.borrow_mut().share();
        let ended_at = own.world.with_database(|database| database.now());
        let tried = conclude(&item, &subscription, &request, outcome, ended_at, chance);
        own.world
            .books
            .borrow_mut()
            .landed(&own.world, item.key, &tried);
        // The dispatcher is gone only when the process is.
        let _ = dispatcher.send(Input::Landed(Landed {
            key: item.key,
            lane_id,
            shard: subscription.shard,
            epoch,
            took,
            result: Ok::<_, Failed>(tried),
        }));
    };
    own.spawn(async move {
        // Cut off or not: the lane knows.
        let _ = Abortable::new(attempt, ends).await;
    });
}

/// `worker::refilling`: two statements of one transaction.
async fn refill(own: Rc<Own>, order: RefillOrder, dispatcher: UnboundedSender<Input>) {
    let lanes = order.lanes.clone();
    let answer = refill_all(&own, order).await;
    let found = |lane_id: Uuid| {
        let (found, next_due) = answer.as_ref().ok()?;
        let rows = found.get(&lane_id).cloned().unwrap_or_default();
        Some((rows, next_due.get(&lane_id).copied()))
    };
    let answers = lanes.iter().map(|lane| {
        let answer = found(lane.lane_id);
        LaneRefill {
            lane_id: lane.lane_id,
            shard: lane.shard,
            epoch: lane.epoch,
            next_due_in: NextDue {
                deliveries: answer.as_ref().and_then(|(_, due)| *due),
                replays: None,
            },
            found: answer.map(|(rows, _)| rows),
        }
    });
    let _ = dispatcher.send(Input::Refilled(answers.collect()));
}

type Brought = (
    BTreeMap<Uuid, Vec<Refilled>>,
    BTreeMap<Uuid, std::time::Duration>,
);

async fn refill_all(own: &Own, order: RefillOrder) -> Result<Brought, Away> {
    let RefillOrder { lanes, held } = order;
    let asked = lanes.clone();
    let (began, rows) = own
        .ask("refill lanes", STATEMENT, move |database| {
            let now = database.now();
            (now, database.refill_lanes(&asked, &held, now))
        })
        .await?;
    let mut found: BTreeMap<Uuid, Vec<Refilled>> = BTreeMap::new();
    for row in rows {
        found.entry(row.lane_id).or_default().push(row);
    }
    let short = lanes.iter().filter(|lane| {
        let count = found.get(&lane.lane_id).map_or(0, Vec::len);
        i64::try_from(count).is_ok_and(|count| count < lane.room)
    });
    let short: Vec<_> = short.map(|lane| (lane.shard, lane.lane_id)).collect();
    let next_due = own
        .ask("find next due", STATEMENT, move |database| {
            database.find_next_due(&short, began)
        })
        .await?;
    Ok((found, next_due))
}
