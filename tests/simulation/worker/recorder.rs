//! `Recorder::run`.

use std::rc::Rc;
use std::time::Duration;

use posthorn::flow::entry::{Backlog, ToRecord};
use posthorn::flow::input::Input;
use posthorn::record::{Batch, acknowledge};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{AWAY, Own, STATEMENT};

const FLUSH_AFTER: Duration = Duration::from_millis(20);

pub async fn run(
    own: Rc<Own>,
    mut entries: UnboundedReceiver<ToRecord>,
    backlog: Backlog,
    dispatcher: UnboundedSender<Input>,
) {
    let mut batch = Batch::default();
    loop {
        if batch.is_empty() {
            let Some(first) = entries.recv().await else {
                return;
            };
            batch.add(first);
        }
        let next = gather(&own, &mut entries, &mut batch).await;
        write(&own, std::mem::take(&mut batch), &backlog, &dispatcher).await;
        if let Some(next) = next {
            batch.add(next);
        }
    }
}

async fn gather(
    own: &Own,
    entries: &mut UnboundedReceiver<ToRecord>,
    batch: &mut Batch,
) -> Option<ToRecord> {
    let mut deadline = std::pin::pin!(own.sleep(FLUSH_AFTER));
    while batch.len() < own.world.scenario.flush_rows {
        let next = tokio::select! {
            biased;
            next = entries.recv() => next?,
            () = &mut deadline => return None,
        };
        if let Some(next) = batch.add(next) {
            return Some(next);
        }
    }
    None
}

async fn write(own: &Own, batch: Batch, backlog: &Backlog, dispatcher: &UnboundedSender<Input>) {
    // A statement that nobody waits for any more may come yet, with the same entries.
    let (entries, pages) = (Rc::new(batch.entries), batch.pages);
    let owner = own.id;
    let written = loop {
        let (entries, world) = (Rc::clone(&entries), Rc::clone(&own.world));
        let asked = own.ask("write a batch", STATEMENT, move |database| {
            let written = database.write_batch(owner, &entries);
            let mut books = world.books.borrow_mut();
            books.written(&world, &entries, &written, database);
            written
        });
        match asked.await {
            Ok(written) => break written,
            Err(_) => own.sleep(AWAY).await,
        }
    };
    let recorded = acknowledge(&entries, &pages, &written, own.now());
    let attempts = entries.iter().filter(|entry| entry.attempt.is_some());
    backlog.take(entries.len(), attempts.count());
    let _ = dispatcher.send(Input::Recorded(recorded.collect()));
}
