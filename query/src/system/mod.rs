//! How the system is: how far the stages are, whether every record is accounted for, where the data lies.
//!
//! None of it is a tenant's: whoever runs the platform asks.

mod ledger;
mod progress;
mod storage;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;

/// What is asked of the system.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(progress::progress))
        .routes(routes!(ledger::ledger))
        .routes(routes!(storage::storage))
}
