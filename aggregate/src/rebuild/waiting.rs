//! Waiting for the stages: looks again and again, and tells the operator now and then what is awaited.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::tool_error::ToolError;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two messages about what is awaited.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Looks until there is what is awaited; until then a look returns what to tell.
pub async fn wait_until<T>(look: impl AsyncFn() -> Result<ControlFlow<T, String>, ToolError>) -> Result<T, ToolError> {
    let mut told: Option<Instant> = None;
    loop {
        let awaited = match look().await? {
            ControlFlow::Break(found) => return Ok(found),
            ControlFlow::Continue(awaited) => awaited,
        };
        if told.is_none_or(|at| at.elapsed() > TELL_INTERVAL) {
            told = Some(Instant::now());
            say(&format!("waiting for {awaited}"));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Tells the operator something beside the progress bar; standard output is for the result.
pub fn say(message: &str) {
    eprintln!("{message}");
}
