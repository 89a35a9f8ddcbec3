//! What a handler needs besides its parameters: the service, who asks, the request's id and its headers, as one extractor.

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
    /// What the request is called in logs and in the engine.
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
