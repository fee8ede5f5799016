//! What rows of `posthorn.events` become, in one place for all statements that read them.
//!
//! These are macros, because each checked statement has a row type of its own.

/// The event of a row, whose id and data are given apart, as not every row has them. With a `?`
/// at the end the columns are those of a left join, which may have found none.
macro_rules! event_of {
    ($row:ident, $id:expr, $data:expr $(, $or_none:tt)?) => {
        $crate::model::Event {
            id: $id,
            shard: $crate::model::Shard($row.shard $($or_none)?),
            merchant: $row.merchant $($or_none)?.into(),
            kind: $row.kind $($or_none)?.into(),
            transaction_id: $row.transaction_id $($or_none)?.into(),
            status: $row.status $($or_none)?.into(),
            data: $data.into(),
            created_at: $row.created_at $($or_none)?,
        }
    };
}

/// The event of a left join's row behind its transaction; none where the join found no event.
macro_rules! written {
    ($row:ident) => {
        (|| {
            let event = $crate::store::rows::event_of!($row, $row.id?, $row.data?, ?);
            Some(($row.xid?.parse().ok()?, event))
        })()
    };
}

pub(super) use {event_of, written};
