//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of now, ms since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as i64)
}
