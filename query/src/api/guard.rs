//! Ends requests that do not end by themselves: a deadline, and a catch for panics.
//!
//! Leaves: the handler's response, or a problem. When the deadline passes, the handler is dropped and its statements
//! with it: the engine cancels them. Bodies that are streamed after the handler returned are not subject to the
//! deadline.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::api::Problem;

/// The middleware; its state is the deadline in seconds.
pub async fn guard(State(seconds): State<u64>, request: Request, next: Next) -> Response {
    // Unwind safe: handlers share only atomics and semaphores, which a panic cannot leave half changed.
    let handler = AssertUnwindSafe(next.run(request)).catch_unwind();
    match timeout(Duration::from_secs(seconds), handler).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            Problem::Internal.into_response()
        }
        Err(_) => Problem::TimedOut { seconds }.into_response(),
    }
}
