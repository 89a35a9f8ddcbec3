//! The state of the system: progress of the stages, whether every record is accounted for, why records were
//! rejected, use of storage, configuration.
//!
//! All of it spans all tenants, so it is only for callers who may see any tenant
//! ([`crate::access::Permission::ReadSystem`]).

mod configuration;
mod ledger;
mod progress;
mod rejections;
mod storage;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::handler::Api;

/// The routes of the system's state.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(progress::progress))
        .routes(routes!(ledger::ledger))
        .routes(routes!(rejections::rejections))
        .routes(routes!(storage::storage))
        .routes(routes!(configuration::configuration))
}
