//! The description of the API, generated from the code, and a page to try it.
//!
//! Enters: the descriptions of the resources. Leaves: `/openapi.json` (OpenAPI 3.1) and `/docs`, which works without
//! internet access.

use axum::Router;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, License, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, Required, ResponseBuilder, Type,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::api::parameters::TENANT;
use crate::api::problem::{PROBLEM_JSON, ProblemBody};

/// Path of the description.
pub const DESCRIPTION_PATH: &str = "/openapi.json";
/// Path of the page.
pub const PAGE_PATH: &str = "/docs";
/// Name of the one security scheme.
const KEY_SCHEME: &str = "key";

/// The parts that belong to the API as a whole.
pub fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Horolog")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Metrics and audit events of one tenant, and how complete they are. Errors are problem details (RFC 9457).",
        ))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key, or a token of the identity provider."))
        .build();
    // Only `/v1/` is described, and all of it needs a key.
    let needed = SecurityRequirement::new(KEY_SCHEME, [""; 0]);
    let mut description = OpenApiBuilder::new().info(info).security(Some([needed])).build();
    let components = description.components.get_or_insert_default();
    components
        .security_schemes
        .insert(KEY_SCHEME.to_owned(), SecurityScheme::Http(key).into());
    components
        .schemas
        .insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    description
}

/// The description, completed with what all operations have in common.
pub fn complete(mut description: OpenApi) -> OpenApi {
    for (path, item) in &mut description.paths.paths {
        let of_a_tenant = ["/v1/metrics/", "/v1/audit/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        operations(item).for_each(|operation| {
            if of_a_tenant {
                operation.parameters.get_or_insert_default().insert(0, tenant().into());
            }
            may_fail(operation);
        });
    }
    description
}

/// The description, and the page that shows it.
pub fn routes(description: OpenApi) -> Router {
    let config = Config::from(DESCRIPTION_PATH).use_base_layout();
    SwaggerUi::new(PAGE_PATH)
        .url(DESCRIPTION_PATH, description)
        .config(config)
        .into()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

/// Read by [`crate::access::Caller`], so resources do not declare it.
fn tenant() -> Parameter {
    ParameterBuilder::new()
        .name(TENANT)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "The tenant to query: required with a key for any tenant; otherwise the caller's own, which is the default.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))))
        .build()
}

/// Every resource may answer with a problem.
fn may_fail(operation: &mut Operation) {
    let problem = ResponseBuilder::new()
        .description("A problem: what is wrong, and what to change.")
        .content(
            PROBLEM_JSON,
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(ProblemBody::name())))
                .build(),
        )
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), problem.into());
}
