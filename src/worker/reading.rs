//! Does the reader's errands: what it asks the database, and what it tells the dispatcher.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;
use tracing::debug;

use super::loading::Loader;
use crate::crash::Point;
use crate::feed::progress::{self, Ask};
use crate::feed::reader::{Answer, Errand, Input, OfEvents, Question, Reader};
use crate::flow::input::PageToRoute;
use crate::flow::refill::Waiting;
use crate::flow::shards::ShardOrder;
use crate::flow::subscriptions::Look;
use crate::flow::{Away, STATEMENT, input};
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::{Event, Shard};
use crate::route::history::History;
use crate::store::history::read_changes_since;
use crate::store::known::find_known_deliveries;
use crate::store::log::{current_snapshot, read_by_id, read_page, settle_foreign_events};
use crate::store::pending::count_waiting;
use crate::store::subscriptions::{current_revision, find_changed};
use crate::store::transactions::{find_endpoints, find_statuses_before};
use crate::store::{Pool, StoreError, within};

/// What the reader's errands need.
pub struct Reading {
    /// The worker's connections.
    pub pool: Pool,
    /// Reads subscriptions.
    pub loader: Loader,
    /// The dispatcher's inputs.
    pub dispatcher: UnboundedSender<input::Input>,
    /// Counts the failures of the database.
    pub metrics: Metrics,
    /// Says whether the database answers.
    pub health: Health,
}

type UnderWay<'a> = FuturesUnordered<BoxFuture<'a, Input>>;

impl Reading {
    /// Reads until the keeper is gone.
    pub async fn run(
        self,
        mut reader: Reader,
        mut orders: UnboundedReceiver<ShardOrder>,
        mut replays: UnboundedReceiver<Vec<Waiting>>,
        mut room: watch::Receiver<bool>,
    ) {
        let mut under_way = UnderWay::new();
        loop {
            for errand in reader.take_errands() {
                self.begin(errand, &under_way);
            }
            let wake = reader.next_wake().map(|at| sleep_until(at.into()));
            let input = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => Some(Input::Order(order)),
                    None => return,
                },
                Some(input) = under_way.next() => {
                    if matches!(input, Input::Answered(_)) {
                        self.health.set_database(!matches!(input, Input::Answered(Err(_))));
                    }
                    Some(input)
                }
                Some(waiting) = replays.recv() => Some(Input::Replays(waiting)),
                // An error means that the worker ends.
                Ok(()) = room.changed() => None,
                Some(()) = OptionFuture::from(wake) => None,
            };
            // Whether there is room shows when a page is in the lanes: before the next is asked for.
            reader.set_room(*room.borrow_and_update());
            reader.step(input, Instant::now());
        }
    }

    fn begin<'a>(&'a self, errand: Errand, under_way: &UnderWay<'a>) {
        match errand {
            Errand::Ask(question) => under_way.push(Box::pin(self.ask(question))),
            Errand::HandOver(page) => under_way.push(Box::pin(self.hand_over(page))),
            Errand::Forget(merchants) => under_way.push(Box::pin(self.forget(merchants))),
            Errand::Count(shards) => under_way.push(Box::pin(self.count(shards))),
            Errand::Look(look) => under_way.push(Box::pin(self.look(look))),
            Errand::Tell(input) => {
                let adopts = matches!(input, input::Input::Adopt(_));
                self.tell(input);
                if adopts {
                    Point::Adopted.pass();
                }
            }
        }
    }

    fn tell(&self, input: input::Input) {
        // The dispatcher is gone only when the worker ends.
        let _ = self.dispatcher.send(input);
    }

    async fn hand_over(&self, page: PageToRoute) -> Input {
        let (taken, is_taken) = oneshot::channel();
        self.tell(input::Input::Page(page, taken));
        // An error means that the worker ends.
        let _ = is_taken.await;
        Point::PageRouted.pass();
        Input::Routed
    }

    async fn forget(&self, merchants: Vec<(String, Shard)>) -> Input {
        let (forgotten, answer) = oneshot::channel();
        self.tell(input::Input::Forget(merchants, forgotten));
        // An error means that the worker ends.
        Input::Forgotten(answer.await.unwrap_or_default())
    }

    async fn count(&self, shards: Vec<Shard>) -> Input {
        match within(STATEMENT * 3, count_waiting(&self.pool, &shards)).await {
            Ok(waiting) => Input::Counted(Some(waiting)),
            Err(error) => {
                debug!(%error, "cannot count what waits; the next time will do");
                Input::Counted(None)
            }
        }
    }

    /// In a task of its own: settings are resolved by the hundred there.
    async fn look(&self, look: Look) -> Input {
        let loader = self.loader.clone();
        let looked = tokio::spawn(async move { loader.look(look).await }).await;
        Input::Looked(match looked {
            Ok(looked) => looked.map_err(|error| self.away(&error)),
            Err(broken) => Err(Away(broken.to_string())),
        })
    }

    fn away(&self, error: &StoreError) -> Away {
        self.metrics.database_error();
        Away(error.to_string())
    }

    async fn ask(&self, question: Question) -> Input {
        let answer = self.answer(question).await;
        Input::Answered(answer.map_err(|error| self.away(&error)))
    }

    async fn answer(&self, question: Question) -> Result<Answer, StoreError> {
        let pool = &self.pool;
        Ok(match question {
            Question::Revision => {
                Answer::Revision(within(STATEMENT, current_revision(pool)).await?)
            }
            Question::Changed(revision) => {
                Answer::Changed(within(STATEMENT, find_changed(pool, revision)).await?)
            }
            Question::OfMerchants(merchants) => {
                Answer::Subscriptions(self.loader.of_merchants(&merchants).await?)
            }
            Question::OfLanes(lanes) => Answer::Subscriptions(self.loader.of_lanes(&lanes).await?),
            Question::Retry(rows) => Answer::Subscriptions(self.loader.again(rows).await?),
            Question::Waiting(shards) => {
                Answer::Waiting(within(STATEMENT * 3, count_waiting(pool, &shards)).await?)
            }
            Question::SettleForeignEvents => {
                within(STATEMENT * 60, settle_foreign_events(pool)).await?;
                Answer::Settled
            }
            Question::Read(ask) => Answer::Read(self.read(ask).await?),
            Question::OfEvents(question) => {
                within(STATEMENT, self.answer_of_events(question)).await?
            }
        })
    }

    async fn read(&self, ask: Ask) -> Result<progress::Answer, StoreError> {
        let pool = &self.pool;
        let answer = match ask {
            Ask::Snapshot => {
                let snapshot = within(STATEMENT, current_snapshot(pool)).await?;
                return Ok(progress::Answer::Snapshot(snapshot));
            }
            Ask::Page {
                request,
                shards,
                floor,
            } => {
                let page = read_page(pool, &request, &shards, floor);
                progress::Answer::Page(within(STATEMENT, page).await?)
            }
            Ask::ById {
                after,
                until,
                shards,
                limit,
            } => {
                let events = read_by_id(pool, &shards, after, &until, limit);
                let events = within(STATEMENT * 3, events).await?;
                progress::Answer::ById { until, events }
            }
        };
        Point::PageRead.pass();
        Ok(answer)
    }

    async fn answer_of_events(&self, question: OfEvents) -> Result<Answer, StoreError> {
        let pool = &self.pool;
        Ok(match question {
            OfEvents::Known(events) => {
                let known = find_known_deliveries(pool, &events).await?;
                Answer::Known(known.into_keys().collect())
            }
            OfEvents::Versions { merchants, since } => {
                let merchants: Vec<&str> = merchants.iter().map(String::as_str).collect();
                let mut history = History::default();
                read_changes_since(pool, &merchants, since, |change| history.take(change)).await?;
                Answer::Versions(history.into_versions())
            }
            OfEvents::Endpoints(events) => {
                Answer::Endpoints(find_endpoints(pool, &borrowed(&events)).await?)
            }
            OfEvents::StatusesBefore(events) => {
                Answer::Before(find_statuses_before(pool, &borrowed(&events)).await?)
            }
        })
    }
}

fn borrowed(events: &[Arc<Event>]) -> Vec<&Event> {
    events.iter().map(|event| &**event).collect()
}
