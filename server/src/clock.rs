//! The time of day, as records tell it.

use jiff::{Timestamp, TimestampRound, Unit};

/// Now, in whole milliseconds: more digits would only look exact.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    // Rounding fails at the end of the year 9999 only.
    now.round(TimestampRound::new().smallest(Unit::Millisecond)).unwrap_or(now)
}
