//! What the reader is told, and what it has others do.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::feed::progress::{self, Ask};
use crate::flow::Away;
use crate::flow::input::{self, Endpoints, Forgotten, PageToRoute};
use crate::flow::refill::Waiting;
use crate::flow::shards::ShardOrder;
use crate::flow::subscriptions::{Changed, Loaded, Look, Place, SubscriptionRow};
use crate::model::event::StatusesBefore;
use crate::model::{DeliveryKey, Event, Shard};
use crate::route::versions::Versions;

/// What the reader is told.
#[derive(Debug)]
pub enum Input {
    /// The keeper has taken, leaves or has lost shards.
    Order(ShardOrder),
    /// The database's answer to [`Errand::Ask`].
    Answered(Result<Answer, Away>),
    /// The page of [`Errand::HandOver`] is in the lanes.
    Routed,
    /// Whom the dispatcher has forgotten, of those of [`Errand::Forget`].
    Forgotten(Vec<Forgotten>),
    /// What [`Errand::Count`] found; none where the database did not answer.
    Counted(Option<Vec<Waiting>>),
    /// The replays, now and then: all of these wait in the database.
    Replays(Vec<Waiting>),
    /// What [`Errand::Look`] found, and where in the shards to go on.
    Looked(Result<(Loaded, Vec<Place>), Away>),
}

/// What the reader has others do.
#[derive(Debug)]
pub enum Errand {
    /// Ask the database; answered by [`Input::Answered`].
    Ask(Question),
    /// Hand a page to the dispatcher; answered by [`Input::Routed`].
    HandOver(PageToRoute),
    /// Have the dispatcher forget these merchants; answered by [`Input::Forgotten`].
    Forget(Vec<(String, Shard)>),
    /// Count what waits for these, beside the reading; answered by [`Input::Counted`], whatever
    /// the database does.
    Count(Vec<Shard>),
    /// Read subscriptions beside the reading; answered by [`Input::Looked`].
    Look(Look),
    /// Tell the dispatcher.
    Tell(input::Input),
}

/// What the reader asks the database.
#[derive(Debug)]
pub enum Question {
    /// Which revision does the configuration have? Answered by [`Answer::Revision`].
    Revision,
    /// Which merchants' subscriptions changed after this revision? Answered by [`Answer::Changed`].
    Changed(i64),
    /// What are the subscriptions of these merchants? Answered by [`Answer::Subscriptions`].
    OfMerchants(Vec<String>),
    /// What are the subscriptions of the merchants whose lanes these are? Answered by
    /// [`Answer::Subscriptions`].
    OfLanes(Vec<Uuid>),
    /// Can these be used by now? Answered by [`Answer::Subscriptions`].
    Retry(Vec<SubscriptionRow>),
    /// What waits for these shards? Answered by [`Answer::Waiting`].
    Waiting(Vec<Shard>),
    /// Events of another cluster get transaction ids of this one. Answered by
    /// [`Answer::Settled`].
    SettleForeignEvents,
    /// A part of the log, or its snapshot. Answered by [`Answer::Read`].
    Read(Ask),
    /// What routing must know of events.
    OfEvents(OfEvents),
}

/// What routing must know of events.
#[derive(Debug)]
pub enum OfEvents {
    /// Which deliveries of these events have a row? Answered by [`Answer::Known`].
    Known(Vec<Uuid>),
    /// How were these merchants' subscriptions since then? Answered by [`Answer::Versions`].
    Versions {
        /// The merchants whose events may have met other settings.
        merchants: Vec<String>,
        /// The time of the oldest of these events.
        since: DateTime<Utc>,
    },
    /// Which endpoints did these events' transactions bring? Answered by
    /// [`Answer::Endpoints`].
    Endpoints(Vec<Arc<Event>>),
    /// What was the status of their transactions before these events? Answered by
    /// [`Answer::Before`].
    StatusesBefore(Vec<Arc<Event>>),
}

/// What the database answers, by the question.
#[derive(Debug)]
pub enum Answer {
    /// The revision of the configuration.
    Revision(i64),
    /// Subscriptions, as far as they can be used.
    Subscriptions(Loaded),
    /// The merchants whose subscriptions changed.
    Changed(Changed),
    /// What waits, by lane.
    Waiting(Vec<Waiting>),
    /// No event has a transaction id of another cluster any more.
    Settled,
    /// What was to be read.
    Read(progress::Answer),
    /// The deliveries that have a row.
    Known(HashSet<DeliveryKey>),
    /// How subscriptions were at the time of the events.
    Versions(Versions),
    /// The endpoints by event.
    Endpoints(Endpoints),
    /// The statuses by event.
    Before(StatusesBefore),
}
