//! What a handler needs beside its parameters, as one extractor: the service, the caller, the request's id and headers.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::access::Caller;
use crate::api::{Problem, RequestId};
use crate::handler::Api;

/// A request for rows of a tenant.
pub struct Asking {
    /// The service.
    pub api: Api,
    /// Who asks.
    pub caller: Caller,
    /// Id of the request in logs and in the engine.
    pub request: RequestId,
    /// Its headers.
    pub headers: HeaderMap,
}

impl FromRequestParts<Api> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Ok(request) = RequestId::from_request_parts(parts, api).await;
        Ok(Self {
            caller: Caller::from_request_parts(parts, api).await?,
            request,
            headers: parts.headers.clone(),
            api: api.clone(),
        })
    }
}
