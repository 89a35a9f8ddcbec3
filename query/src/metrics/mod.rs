//! Metrics: hours of one tenant, and through when they are complete.

pub mod completeness;
pub mod hour;
pub mod hourly;
pub mod question;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;

/// What is asked of metrics.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(hourly::hourly))
}
