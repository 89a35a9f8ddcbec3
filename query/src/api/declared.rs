//! A resource accepts only the parameters that its description declares: callers would believe that an ignored one was
//! applied.
//!
//! Enters: the description of the API, and any request. Leaves: the request, or a [`Problem`] that names the parameter.
//! Guarantees: no route ignores a parameter, whether its handler reads any or not.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use crate::api::{Problem, parameters};

/// How much of an unknown name is echoed to the caller.
const ECHO_CHARS_MAX: usize = 64;

/// The names of the parameters of all operations, by route template and method.
#[derive(Debug, Clone)]
pub struct Declared(Arc<HashMap<String, HashMap<Method, Vec<String>>>>);

impl Declared {
    /// From this description.
    pub fn of(description: &OpenApi) -> Self {
        let paths = description.paths.paths.iter();
        Self(Arc::new(
            paths.map(|(path, item)| (path.clone(), methods(item))).collect(),
        ))
    }

    /// Refuses a query string with an undeclared name. Routes without a description are not checked.
    fn check(&self, route: &str, method: &Method, query: &str) -> Result<(), Problem> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let Some(known) = self.0.get(route).and_then(|methods| methods.get(method)) else {
            return Ok(());
        };
        match parameters::decode(query)?.keys().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(unknown) => Err(Problem::UnknownParameter {
                parameter: unknown.chars().take(ECHO_CHARS_MAX).collect(),
                known: if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                },
            }),
        }
    }
}

fn methods(item: &PathItem) -> HashMap<Method, Vec<String>> {
    let operations = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    let described = operations
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
    described
        .map(|(method, operation)| (method, names(operation)))
        .collect()
}

fn names(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let name = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    };
    parameters.filter_map(name).collect()
}

/// The middleware; runs inside authentication.
pub async fn only_declared(State(declared): State<Declared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let query = request.uri().query().unwrap_or_default();
    match route.map_or(Ok(()), |route| declared.check(route, request.method(), query)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder};
    use utoipa::openapi::{OpenApiBuilder, PathsBuilder};

    use super::*;

    #[test]
    fn what_is_not_declared_is_named_also_where_nothing_is() {
        let user = ParameterBuilder::new().name("user_id").parameter_in(ParameterIn::Query);
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path);
        let asks = OperationBuilder::new().parameter(user).parameter(id);
        let paths = PathsBuilder::new()
            .path("/a/{id}", PathItem::new(HttpMethod::Get, asks))
            .path("/b", PathItem::new(HttpMethod::Post, OperationBuilder::new()));
        let declared = Declared::of(&OpenApiBuilder::new().paths(paths).build());
        let refused = |route, method, query| {
            let refusal = declared.check(route, &method, query).err()?;
            refusal.named_parameter().map(str::to_owned)
        };
        assert_eq!(refused("/a/{id}", Method::GET, "user_id=a&user_id=b&"), None);
        assert_eq!(refused("/a/{id}", Method::HEAD, "usr_id=a").as_deref(), Some("usr_id"));
        assert_eq!(refused("/a/{id}", Method::GET, "id=a").as_deref(), Some("id"));
        assert_eq!(refused("/b", Method::POST, "=").as_deref(), Some(""));
        assert_eq!(refused("/b", Method::GET, "user_id=a"), None, "no such operation");
        assert_eq!(refused("/docs", Method::GET, "user_id=a"), None, "not described");
    }
}
