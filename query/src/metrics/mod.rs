//! Metrics of one tenant: by hour, day and month, what there is of them, what late records changed, and through when they are
//! complete.

pub mod column;
pub mod completeness;
pub mod discovery;
mod epochs;
mod fresh;
mod merging;
mod point;
pub mod question;
pub mod revisions;
pub mod series;
pub mod step;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;

/// What is asked of metrics.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(series::hourly))
        .routes(routes!(series::daily))
        .routes(routes!(series::monthly))
        .routes(routes!(discovery::names))
        .routes(routes!(discovery::values))
        .routes(routes!(discovery::labels))
        .routes(routes!(revisions::revisions))
}
