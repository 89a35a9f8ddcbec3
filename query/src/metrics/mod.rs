//! Metrics of one tenant: by hour, day and month, what can be queried, what late records changed, and through when they
//! are complete.
//!
//! The path of a question: `question` and `selection` make statements of its parameters, with the columns of
//! `merging` and the partial aggregates that `epochs` lets count; `page` answers from `memory`, which `look`
//! keeps valid, or from the store; `points` hold the rows, and `written` writes them.

pub mod column;
pub mod completeness;
pub mod counters;
pub mod discovery;
mod epochs;
mod fresh;
pub mod health;
pub mod look;
pub mod memory;
mod merging;
mod page;
mod point;
mod points;
pub mod question;
pub mod revisions;
mod selection;
pub mod series;
pub mod step;
mod written;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::handler::Api;

/// The routes of metrics.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(series::hourly))
        .routes(routes!(series::daily))
        .routes(routes!(series::monthly))
        .routes(routes!(counters::hourly))
        .routes(routes!(counters::daily))
        .routes(routes!(counters::monthly))
        .routes(routes!(discovery::names))
        .routes(routes!(discovery::values))
        .routes(routes!(discovery::labels))
        .routes(routes!(revisions::revisions))
        .routes(routes!(health::health))
}
