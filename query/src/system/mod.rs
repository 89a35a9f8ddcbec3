//! How the system is: how far the stages are, whether every record is accounted for, where the data lies, how this service is configured.
//!
//! All of it is of all tenants together, so it is for those alone who may see any tenant ([`crate::access::Permission::ReadSystem`]).

mod configuration;
mod ledger;
mod progress;
mod storage;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::handler::Api;

/// What is asked of the system.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(progress::progress))
        .routes(routes!(ledger::ledger))
        .routes(routes!(storage::storage))
        .routes(routes!(configuration::configuration))
}
