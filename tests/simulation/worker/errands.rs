//! What the dispatcher has done: attempts, with the real request, judgement and plan, and
//! refills.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use futures::future::Abortable;
use posthorn::dispatch::attempt::{conclude, prepare};
use posthorn::dispatch::errand::{Errand, Flight, Gone};
use posthorn::flow::input::{Failed, Input, Landed};
use posthorn::flow::refill::{NextDue, RefillOrder, Refilled};
use posthorn::model::{Outcome, TokenKey};
use posthorn::shape::endpoint;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::{AWAY, Own, STATEMENT};
use crate::link::Away;
use crate::receiver::timed_out;

pub fn run(own: &Rc<Own>, errand: Errand, dispatcher: UnboundedSender<Input>) {
    match errand {
        Errand::Send(flight) => send(own, flight, dispatcher),
        Errand::Refill(order) => own.spawn(refill(Rc::clone(own), order, dispatcher)),
        Errand::Disable(gone) => own.spawn(disable(Rc::clone(own), gone, dispatcher)),
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
    let template = subscription;
    let its_own = item.endpoint.as_ref();
    let its_own = its_own.map(|endpoint| endpoint::over(endpoint, &template).unwrap());
    let subscription = its_own.map_or_else(|| Arc::clone(&template), Arc::new);
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
        .sent(&own.world, &item, &template, &request, at_once);
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
            .landed(&own.world, &item, &tried);
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

/// `worker::disabling`, of a transaction's own address.
async fn disable(own: Rc<Own>, gone: Gone, dispatcher: UnboundedSender<Input>) {
    assert!(
        gone.of_transaction,
        "only an address says here that it is gone"
    );
    let id = gone.subscription_id;
    loop {
        let ended = own.ask("end an address", STATEMENT, move |database| {
            database.end_transaction_subscription(id)
        });
        if ended.await.is_ok() {
            break;
        }
        own.sleep(AWAY).await;
    }
    let _ = dispatcher.send(Input::Ended {
        lane_id: gone.lane_id,
        subscription_id: id,
    });
}

/// `worker::refilling`: two statements of one transaction.
async fn refill(own: Rc<Own>, order: RefillOrder, dispatcher: UnboundedSender<Input>) {
    let lanes = order.lanes.clone();
    let mut answer = refill_all(&own, order).await.ok();
    let answers = lanes.iter().map(|lane| {
        let answer = answer.as_mut();
        let found = answer.map(|(found, next_due)| {
            let next_due = next_due.get(&lane.lane_id).copied();
            (found.remove(&lane.lane_id).unwrap_or_default(), next_due)
        });
        let (found, next_due) = found.unzip();
        lane.answer(found, next_due.flatten().unwrap_or_default())
    });
    let _ = dispatcher.send(Input::Refilled(answers.collect()));
}

type Brought = (BTreeMap<Uuid, Vec<Refilled>>, BTreeMap<Uuid, NextDue>);

async fn refill_all(own: &Own, order: RefillOrder) -> Result<Brought, Away> {
    let RefillOrder { lanes, held } = order;
    let asked: Vec<_> = lanes.iter().map(|it| (it.shard, it.lane_id)).collect();
    let (began, rows) = own
        .ask("refill lanes", STATEMENT, move |database| {
            let now = database.now();
            (now, database.refill_lanes(&lanes, &held, now))
        })
        .await?;
    let mut found: BTreeMap<Uuid, Vec<Refilled>> = BTreeMap::new();
    for row in rows {
        found.entry(row.lane_id).or_default().push(row);
    }
    let next_due = own
        .ask("find next due", STATEMENT, move |database| {
            database.find_next_due(&asked, began)
        })
        .await?;
    Ok((found, next_due))
}
