//! Audit events of one tenant: search, and exports.

pub mod copies;
pub mod counts;
pub mod difference;
pub mod event;
pub mod events;
pub mod exports;
pub mod filter;
pub mod months;
pub mod network;
pub mod one_event;
pub mod question;
pub mod stretches;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::handler::Api;

/// The routes of audit events.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(events::events))
        .routes(routes!(one_event::one_event))
        .routes(routes!(counts::counts))
        .merge(exports::handlers::routes())
}
