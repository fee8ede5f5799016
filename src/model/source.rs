//! A table of the provider's whose changes of status become events.

mod command;

pub use command::word;

/// What is read of an application's table to make events, and when. Columns are named as the
/// catalog has them, without quotes; SQL is over the rows `new` and `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The source's name, unique in the database, of 1 to 40 bytes.
    pub name: String,
    /// The column that holds the merchant.
    pub merchant: String,
    /// The column that holds the transaction's id.
    pub id: String,
    /// The column that holds the status.
    pub status: String,
    /// Where an event's kind comes from.
    pub kind: Kind,
    /// What an event carries as its data.
    pub data: Data,
    /// Columns of the data whose values travel as JSON strings, where they would be numbers.
    pub texts: Vec<String>,
    /// A condition in SQL that a change must meet; none for every change.
    pub when: Option<String>,
    /// Which statements make events.
    pub on: On,
    /// What becomes of a change that cannot be made into an event.
    pub on_failure: OnFailure,
    /// How the table is compared with its events; none where it is not compared.
    pub compare: Option<Compare>,
}

/// How a table is compared with the events that were made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The database role that reads the table for the comparison.
    pub role: String,
    /// The column of the time at which a row was made. Without it, a row that has no event may
    /// be older than the events that are kept.
    pub made_at: Option<String>,
}

/// Where the kind of an event comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text of 1 to 1000 bytes, the same for every event.
    Text(String),
    /// An expression in SQL that gives the kind.
    Sql(String),
}

/// What an event carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// The whole row, as a JSON object.
    Row,
    /// The columns of these names, in this order, as a JSON object.
    Columns(Vec<String>),
    /// An expression in SQL that gives json or jsonb.
    Sql(String),
}

/// Which statements make events; at least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On {
    /// Whether a row that is inserted makes an event.
    pub insert: bool,
    /// Whether a row whose status changes makes an event.
    pub update: bool,
}

/// What becomes of a change that cannot be made into an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The statement fails: there is no change without its event.
    Block,
    /// The statement goes on, and `posthorn.source_failures` tells of the change.
    Record,
}

impl OnFailure {
    /// The spelling that the table and the command have.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Record => "record",
        }
    }
}
