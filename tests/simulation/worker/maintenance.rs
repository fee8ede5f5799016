//! `maintenance`, as far as it touches what others read: the days of the log. All days are
//! made late here, so that there is always something to move.

use std::rc::Rc;
use std::time::Duration;

use super::{Own, STATEMENT};
use crate::database::Database;

const EVERY: Duration = Duration::from_millis(200);

pub async fn run(own: Rc<Own>) {
    loop {
        // Whatever became of it: the next round tries again.
        let _ = own.ask("make days", STATEMENT, Database::make_days).await;
        own.sleep(EVERY).await;
    }
}
