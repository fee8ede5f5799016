//! `feed::replay::Replays::run`.

use std::rc::Rc;
use std::time::Duration;

use posthorn::flow::input::Input;
use posthorn::flow::refill::Waiting;
use tokio::sync::mpsc::UnboundedSender;

use super::{Own, STATEMENT};
use crate::database::Database;
use crate::link::Away;

const IDLE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(250);

/// Few, so that withdrawing takes several rounds.
const WITHDRAWN: usize = 5;

pub async fn run(
    own: Rc<Own>,
    reader: UnboundedSender<Vec<Waiting>>,
    dispatcher: UnboundedSender<Input>,
) {
    loop {
        let pause = step(&own, &reader, &dispatcher).await.unwrap_or(IDLE);
        own.sleep(pause).await;
    }
}

async fn step(
    own: &Rc<Own>,
    reader: &UnboundedSender<Vec<Waiting>>,
    dispatcher: &UnboundedSender<Input>,
) -> Result<Duration, Away> {
    let advanced = own.ask("advance replays", STATEMENT, Database::advance_replays);
    let advanced = advanced.await?;
    let worker = own.id;
    let waiting = own.ask("count replays", STATEMENT, move |database| {
        database.count_replays(worker)
    });
    let _ = reader.send(waiting.await?);
    if advanced.running == 0 {
        return Ok(IDLE);
    }
    let withdrawn = own.ask("find what is withdrawn", STATEMENT, move |database| {
        database.find_withdrawn(worker, WITHDRAWN)
    });
    let withdrawn = withdrawn.await?;
    own.world
        .books
        .borrow_mut()
        .withdrawing(&own.world.database.borrow(), &withdrawn);
    let _ = dispatcher.send(Input::Withdrawn(withdrawn));
    Ok(advanced.wait.map_or(LATE, |wait| wait.clamp(SOON, LATE)))
}
