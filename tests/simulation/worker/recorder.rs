//! `worker::recording`: does the errands of the real recorder.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Fuse, OptionFuture};
use posthorn::flow::entry::ToRecord;
use posthorn::flow::input::Input;
use posthorn::record::{Answer, Errand, Part, Recorder};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{Own, STATEMENT};
use crate::database::Unwritten;

pub async fn run(
    own: Rc<Own>,
    mut recorder: Recorder,
    mut entries: UnboundedReceiver<ToRecord>,
    dispatcher: UnboundedSender<Input>,
) {
    let mut write = pin!(Fuse::terminated());
    let mut taken = Vec::new();
    let mut more_may_come = true;
    loop {
        while let Some(errand) = recorder.next_errand(own.now()) {
            match errand {
                Errand::Write { entries, again } => {
                    write.set(self::write(&own, entries, again).fuse());
                }
                Errand::Report(input) => {
                    // The dispatcher is gone only when the process is.
                    let _ = dispatcher.send(*input);
                }
                Errand::CountRefusal => {}
            }
        }
        if !more_may_come && recorder.is_idle() {
            return;
        }
        let room = recorder.room();
        let wake = recorder.wake_at().map(|at| {
            let wake = at.saturating_duration_since(own.now());
            own.sleep(wake + Duration::from_nanos(1))
        });
        tokio::select! {
            biased;
            answer = &mut write => recorder.answered(answer, own.now()),
            count = entries.recv_many(&mut taken, room), if more_may_come && room > 0 => {
                more_may_come = count > 0;
                taken.drain(..).for_each(|entry| recorder.take(entry));
            }
            Some(()) = OptionFuture::from(wake) => {}
        }
    }
}

async fn write(own: &Own, entries: Part, again: bool) -> Answer {
    let (owner, world) = (own.id, Rc::clone(&own.world));
    // A statement that nobody waits for any more may come yet, with the same entries.
    let asked = own.ask("write a batch", STATEMENT, move |database| {
        let written = database.write_batch(owner, &entries, again);
        match &written {
            Ok(written) => {
                let mut books = world.books.borrow_mut();
                books.written(&world, &entries, written, database);
            }
            Err(why) => world.note(format_args!("  {why:?}")),
        }
        written
    });
    match asked.await {
        Ok(Ok(written)) => Answer::Written(written),
        Ok(Err(Unwritten::Refused)) => Answer::Refused("a rule".to_owned()),
        Ok(Err(Unwritten::Repeated)) => Answer::Repeated("a row is there".to_owned()),
        Err(_) => Answer::Away("no answer".to_owned()),
    }
}
