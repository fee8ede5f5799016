//! The daily partitions by their names. A statement over a partitioned table opens and locks
//! every day that there is each time it runs, although all its rows are of one or two of them
//! (docs/decisions/0065-days-by-their-names.md). So a statement that runs often names the table
//! with a mark behind it, as `posthorn.events /* by day */`, and is sent with the names of the
//! days that its rows are of in that place. It is checked as it is written, and so it runs where
//! the days are not known: over the table.

mod names;
mod partitions;

pub(super) use self::names::{LogNames, Names, Table};
pub(super) use self::partitions::{
    Known, KnownDays, KnownPartitions, KnownWindow, LogPartition, day_in,
};
