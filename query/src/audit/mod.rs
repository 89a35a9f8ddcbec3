//! Audit events of one tenant.

pub mod event;
pub mod events;
pub mod question;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;

/// What is asked of audit events.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events::events))
}
