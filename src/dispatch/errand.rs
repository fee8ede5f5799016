//! What the dispatcher has others do; each answers with an [`Input`](crate::flow::input::Input).
//!
//! The dispatcher itself does no I/O: a worker sends and asks the database, a simulation
//! plays both.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::{AbortHandle, AbortRegistration};
use uuid::Uuid;

use super::item::Item;
use crate::flow::refill::RefillOrder;
use crate::model::{DeliveryKey, Epoch, Subscription};

/// Something to be done for the dispatcher.
#[derive(Debug)]
pub enum Errand {
    /// Make an attempt; answered by [`Input::Landed`](crate::flow::input::Input::Landed), unless
    /// it is cut off.
    Send(Flight),
    /// Bring rows back; answered by [`Input::Refilled`](crate::flow::input::Input::Refilled),
    /// whatever the database does.
    Refill(RefillOrder),
    /// Disable a subscription; where it is a transaction's own, the answer is
    /// [`Input::Ended`](crate::flow::input::Input::Ended).
    Disable(Gone),
}

/// An attempt to be made.
#[derive(Debug)]
pub struct Flight {
    /// The delivery.
    pub item: Item,
    /// The subscription whose lane the delivery takes.
    pub lane_id: Uuid,
    /// The lane's subscription, as it is now.
    pub subscription: Arc<Subscription>,
    /// Under which the subscription's shard is held; the answer is for that lane only.
    pub epoch: Epoch,
    /// Its other end cuts the attempt off.
    pub ends: AbortRegistration,
}

/// A subscription whose endpoint said that it is gone.
#[derive(Debug)]
pub struct Gone {
    /// The merchant whose subscription is to be disabled.
    pub merchant: Box<str>,
    /// The id of the subscription.
    pub subscription_id: Uuid,
    /// The subscription whose lane its deliveries take.
    pub lane_id: Uuid,
    /// Whether the subscription is a single transaction's.
    pub of_transaction: bool,
}

/// The attempts in the air, each with what it can be cut off by.
pub(super) type Flights = HashMap<DeliveryKey, AbortHandle>;
