//! What ends a request that does not end by itself: a deadline, and a net under panics.
//!
//! Leaves: the handler's response, or a problem. A handler that is given up is dropped, and with it its statements: the
//! engine cancels them. Bodies that are streamed after the handler's answer are not under the deadline.

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
    // Handlers share nothing that a panic could leave half changed: what they share are atomics and semaphores.
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
