//! A table of the provider's whose changes of status become events.

mod command;

pub use command::word;

/// What is read of the table, and when. Columns are named as the catalog has them,
/// without quotes; SQL is over the rows `new` and `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Unique in the database, 1 to 40 bytes.
    pub name: String,
    /// The column of the merchant; likewise `id` and `status`.
    pub merchant: String,
    pub id: String,
    pub status: String,
    pub kind: Kind,
    pub data: Data,
    /// Columns of the data whose values travel as JSON strings, where they would be numbers.
    pub texts: Vec<String>,
    /// A condition that a change must meet.
    pub when: Option<String>,
    pub on: On,
    pub on_failure: OnFailure,
    /// None: its table is not compared with the events.
    pub compare: Option<Compare>,
}

/// How a table is compared with the events that were made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The database role that reads it.
    pub role: String,
    /// The column of the time at which a row was made. Without it, a row that has no event may
    /// be older than the events that are kept.
    pub made_at: Option<String>,
}

/// Where the kind of an event comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1 to 1000 bytes, the same for every event.
    Text(String),
    Sql(String),
}

/// What an event carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// The whole row.
    Row,
    /// These columns, in this order.
    Columns(Vec<String>),
    /// An expression that gives json or jsonb.
    Sql(String),
}

/// Which changes make events; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On {
    pub insert: bool,
    pub update: bool,
}

/// What becomes of a change that cannot be made into an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Its statement fails: no change without its event.
    Block,
    /// It goes on, and `posthorn.source_failures` tells of it.
    Record,
}

impl OnFailure {
    /// As the table and the command have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Record => "record",
        }
    }
}
