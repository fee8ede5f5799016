//! Steps the dispatcher whenever something has happened, or it is time.

use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::dispatch::Dispatcher;
use crate::flow::input::Input;

/// How many inputs are taken before the lanes have their turn.
const INPUTS: usize = 512;

/// Runs until the feed and the keeper are gone. The channel is unbounded and yet small: the feed
/// waits for room, and the dispatcher limits sends, refills and entries.
pub(super) async fn run(mut dispatcher: Dispatcher, mut inputs: UnboundedReceiver<Input>) {
    let mut taken = Vec::with_capacity(INPUTS);
    loop {
        let wake = dispatcher.next_wake();
        tokio::select! {
            count = inputs.recv_many(&mut taken, INPUTS) => if count == 0 { return },
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        dispatcher.step(taken.drain(..), &Instant::now);
    }
}
