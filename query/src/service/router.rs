//! All routes: those of each resource, the description of all of them, and the middleware around them.
//!
//! Adds no behaviour to a route: resources are in their own folders, and each registers its own.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use horolog_stage::http::{self, Health};
use prometheus_client::registry::Registry;
use utoipa_axum::router::OpenApiRouter;

use crate::access::authenticate::authenticate;
use crate::api::caching::{Caching, of_program, tag_and_compress};
use crate::api::declared::{Declared, only_declared};
use crate::api::guard::guard;
use crate::api::observe::{Metrics, observe};
use crate::api::outgoing::Outgoing;
use crate::api::{Problem, openapi};
use crate::handler::Api;
use crate::service::security_headers::{OverTls, protect};
use crate::{access, audit, metrics, system, web};

/// The resources, one per line.
fn resources() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(metrics::routes())
        .merge(audit::routes())
        .merge(system::routes())
        .merge(access::admin::routes())
        .merge(access::whoami::routes())
}

/// All routes, with ids, metrics and problems around them.
pub fn router(api: Api, health: Health, over_tls: OverTls) -> Router {
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry));
    let gate = api.gate.clone();
    let deadline_s = api.config.limits.request_timeout_s;
    let caching = Caching::new(Outgoing::new(&api.config.limits));
    let (resources, description) = resources().split_for_parts();
    let description = openapi::complete(description);
    let declared = Declared::of(&description);
    let files = openapi::routes(description).merge(web::routes());
    resources
        .with_state(api)
        .merge(files.layer(map_response(of_program)))
        .merge(http::routes(health, registry))
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(from_fn_with_state(caching, tag_and_compress))
        .layer(from_fn_with_state(deadline_s, guard))
        .layer(from_fn_with_state(declared, only_declared))
        .layer(from_fn_with_state(gate, authenticate))
        .layer(from_fn_with_state(metrics, observe))
        .layer(from_fn_with_state(over_tls, protect))
}
