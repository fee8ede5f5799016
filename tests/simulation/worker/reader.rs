//! Does the errands of the real reader (`posthorn::feed::reader`) on simulated time.

use std::rc::Rc;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use posthorn::feed::progress::{self, Ask};
use posthorn::feed::reader::{Answer, Errand, Input, OfEvents, Question, Reader};
use posthorn::flow::input::{self, PageToRoute};
use posthorn::flow::refill::Waiting;
use posthorn::flow::shards::ShardOrder;
use posthorn::flow::subscriptions::{Loaded, Look, Place, Resolved};
use posthorn::model::{Identity, Shard, Subscription};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use super::{Own, STATEMENT};
use crate::link::Away;

pub struct Reading {
    pub own: Rc<Own>,
    pub dispatcher: UnboundedSender<input::Input>,
}

type UnderWay = FuturesUnordered<LocalBoxFuture<'static, Input>>;

impl Reading {
    pub async fn run(
        self,
        mut reader: Reader,
        mut orders: UnboundedReceiver<ShardOrder>,
        mut replays: UnboundedReceiver<Vec<Waiting>>,
        mut room: watch::Receiver<bool>,
    ) {
        let own = Rc::clone(&self.own);
        let mut under_way = UnderWay::new();
        loop {
            for errand in reader.take_errands() {
                self.begin(errand, &under_way);
            }
            let wake = reader.next_wake();
            let span = wake.map(|wake| wake.saturating_duration_since(own.now()));
            let input = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => Some(Input::Order(order)),
                    None => return,
                },
                Some(input) = under_way.next() => Some(input),
                Some(waiting) = replays.recv() => Some(Input::Replays(waiting)),
                Ok(()) = room.changed() => None,
                () = own.sleep(span.unwrap_or_default()), if span.is_some() => None,
            };
            reader.set_room(*room.borrow_and_update());
            reader.step(input, own.now());
        }
    }

    fn begin(&self, errand: Errand, under_way: &UnderWay) {
        match errand {
            Errand::Ask(question) => {
                let answer = answer(Rc::clone(&self.own), question);
                under_way.push(Box::pin(async {
                    Input::Answered(answer.await.map_err(Into::into))
                }));
            }
            Errand::HandOver(page) => under_way.push(Box::pin(self.hand_over(page))),
            Errand::Count(shards) => {
                under_way.push(Box::pin(count(Rc::clone(&self.own), shards)));
            }
            Errand::Forget(merchants) => {
                let (forgotten, answer) = oneshot::channel();
                let input = input::Input::Forget(merchants, forgotten);
                let _ = self.dispatcher.send(input);
                under_way.push(Box::pin(async {
                    Input::Forgotten(answer.await.unwrap_or_default())
                }));
            }
            Errand::Look(look) => {
                let looked = look_at(Rc::clone(&self.own), look);
                under_way.push(Box::pin(async {
                    Input::Looked(looked.await.map_err(Into::into))
                }));
            }
            // The dispatcher is gone only when the process is.
            Errand::Tell(input) => drop(self.dispatcher.send(input)),
        }
    }

    fn hand_over(&self, page: PageToRoute) -> impl Future<Output = Input> + use<> {
        let (taken, is_taken) = oneshot::channel();
        let _ = self.dispatcher.send(input::Input::Page(page, taken));
        async {
            let _ = is_taken.await;
            Input::Routed
        }
    }
}

async fn count(own: Rc<Own>, shards: Vec<Shard>) -> Input {
    let waiting = own.ask("count what waits", STATEMENT * 3, move |database| {
        database.count_waiting(&shards)
    });
    Input::Counted(waiting.await.ok())
}

async fn look_at(own: Rc<Own>, look: Look) -> Result<(Loaded, Vec<Place>), Away> {
    match look {
        Look::Merchants(merchants) => {
            let rows = own.ask("look at merchants", STATEMENT * 3, move |database| {
                database.of_merchants(&merchants)
            });
            let rows = rows.await?;
            Ok((loaded(own, rows).await?, Vec::new()))
        }
        Look::Shards(places) => {
            let page = own.ask("look at shards", STATEMENT * 3, move |database| {
                database.of_shards(&places)
            });
            let (rows, next) = page.await?;
            Ok((loaded(own, rows).await?, next))
        }
    }
}

async fn loaded(own: Rc<Own>, rows: Vec<Arc<Subscription>>) -> Result<Loaded, Away> {
    let newest = own.ask("newest change", STATEMENT, |database| {
        database.newest_change()
    });
    Ok(Loaded {
        rows: rows.into_iter().map(resolved).collect(),
        changed_at: newest.await?,
    })
}

async fn answer(own: Rc<Own>, question: Question) -> Result<Answer, Away> {
    Ok(match question {
        Question::Revision => {
            let revision = own.ask("revision", STATEMENT, |database| database.revision);
            Answer::Revision(revision.await?)
        }
        Question::Changed(revision) => {
            let changed = own.ask("what has changed", STATEMENT, move |database| {
                database.find_changed(revision)
            });
            Answer::Changed(changed.await?)
        }
        Question::OfMerchants(merchants) => {
            let rows = own.ask("subscriptions", STATEMENT * 3, move |database| {
                database.of_merchants(&merchants)
            });
            let rows = rows.await?;
            Answer::Subscriptions(loaded(own, rows).await?)
        }
        Question::OfLanes(lanes) => {
            let rows = own.ask("subscriptions", STATEMENT * 3, move |database| {
                database.of_lanes(&lanes)
            });
            let rows = rows.await?;
            Answer::Subscriptions(loaded(own, rows).await?)
        }
        Question::Retry(_) => unreachable!("all can be used here"),
        Question::Waiting(shards) => {
            let waiting = own.ask("count what waits", STATEMENT * 3, move |database| {
                database.count_waiting(&shards)
            });
            Answer::Waiting(waiting.await?)
        }
        // The model's events keep the transaction ids that they have.
        Question::SettleForeignEvents => Answer::Settled,
        Question::Read(ask) => Answer::Read(read(own, ask).await?),
        Question::OfEvents(question) => of_events(own, question).await?,
    })
}

async fn read(own: Rc<Own>, ask: Ask) -> Result<progress::Answer, Away> {
    Ok(match ask {
        Ask::Snapshot => {
            let snapshot = own.ask("snapshot", STATEMENT, |database| database.snapshot());
            progress::Answer::Snapshot(snapshot.await?)
        }
        Ask::Page {
            request,
            shards,
            floor,
        } => {
            let page = own.ask_the_log("read a page", STATEMENT, move |database, plan| {
                database.read_page(plan, &request, &shards, floor)
            });
            progress::Answer::Page(page.await?)
        }
        Ask::ById {
            after,
            until,
            shards,
            limit,
        } => {
            let end = until.clone();
            let events = own.ask_the_log("read by id", STATEMENT * 3, move |database, plan| {
                database.read_by_id(plan, &shards, after, &end, limit)
            });
            let events = events.await?;
            progress::Answer::ById { until, events }
        }
    })
}

async fn of_events(own: Rc<Own>, question: OfEvents) -> Result<Answer, Away> {
    Ok(match question {
        OfEvents::Known(ids) => {
            let known = own.ask("known deliveries", STATEMENT, move |database| {
                database.find_known_deliveries(&ids)
            });
            Answer::Known(known.await?)
        }
        OfEvents::Versions { merchants, since } => {
            let versions = own.ask("versions", STATEMENT, move |database| {
                database.versions_since(&merchants, since)
            });
            Answer::Versions(versions.await?)
        }
        OfEvents::Endpoints(events) => {
            let found = own.ask("find endpoints", STATEMENT, move |database| {
                database.find_endpoints(&events)
            });
            Answer::Endpoints(found.await?)
        }
        OfEvents::StatusesBefore(events) => {
            let found =
                own.ask_the_log("find statuses before", STATEMENT, move |database, plan| {
                    database.find_statuses_before(plan, &events)
                });
            Answer::Before(found.await?)
        }
    })
}

/// The model has subscriptions as they take effect, and no rows.
fn resolved(subscription: Arc<Subscription>) -> Resolved {
    Resolved {
        identity: Identity {
            id: subscription.id,
            merchant: subscription.merchant.clone(),
            name: subscription.name.clone(),
            shard: subscription.shard,
            revision: subscription.revision,
            created_at: subscription.created_at,
            enabled: subscription.enabled,
            paused: subscription.paused,
        },
        subscription: Some(subscription),
        unusable: None,
    }
}
