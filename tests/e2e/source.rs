//! A table of the application becomes a source of events.

mod bulk;
mod changes;
mod failures;
mod listed;
mod partitions;
mod refusals;
mod settings;

use crate::support::shop::{NOTHING, Shop};
