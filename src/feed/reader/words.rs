//! What the reader is told, and what it has others do.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::feed::progress::{self, Ask};
use crate::flow::Away;
use crate::flow::input::{self, Endpoints, PageToRoute};
use crate::flow::refill::Waiting;
use crate::flow::shards::ShardOrder;
use crate::flow::subscriptions::{Resolved, SubscriptionRow};
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
    /// [`Errand::Count`] is done.
    Counted,
}

/// What the reader has others do.
#[derive(Debug)]
pub enum Errand {
    /// Ask the database; answered by [`Input::Answered`].
    Ask(Question),
    /// Hand a page to the dispatcher; answered by [`Input::Routed`].
    HandOver(PageToRoute),
    /// Count what waits for these, beside the reading, and tell the dispatcher; answered by
    /// [`Input::Counted`], whatever the database does.
    Count(Vec<Shard>),
    /// Tell the dispatcher.
    Tell(input::Input),
}

/// What the reader asks the database.
#[derive(Debug)]
pub enum Question {
    /// Which revision does the configuration have? Answered by [`Answer::Revision`].
    Revision,
    /// Which subscriptions of these shards changed after a revision? Answered by
    /// [`Answer::Subscriptions`].
    Subscriptions {
        /// The revision that is known.
        after: i64,
        /// Whose subscriptions.
        shards: Vec<Shard>,
    },
    /// Can these be used by now? Answered by [`Answer::Subscriptions`].
    Retry(Vec<SubscriptionRow>),
    /// When was the configuration changed last? Answered by [`Answer::Changed`].
    NewestChange,
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
    Subscriptions(Vec<Resolved>),
    /// When the configuration was changed last, if it ever was.
    Changed(Option<DateTime<Utc>>),
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
