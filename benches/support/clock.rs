//! The machine's clock, which the publisher's and the receiver's process share.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "two processes compare their times, and nothing else has one clock for both"
)]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// The same for a moment that has just passed.
pub fn us_at(moment: Instant) -> u64 {
    let ago = u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX);
    now_us().saturating_sub(ago)
}
