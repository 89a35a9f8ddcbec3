//! `GET /v1/system/configuration`: the configuration of the process that answers.
//!
//! Guarantees: a secret is never shown, whether it is a setting of its own, a property of the Kafka client or part of a
//! URL.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use reqwest::Url;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::config::QueryConfig;
use crate::handler::Api;

/// One setting.
#[derive(Debug, Serialize, ToSchema)]
pub struct Setting {
    /// Its name in the file, with its section: `limits.request_timeout_s`.
    setting: String,
    /// Its value; null if it is not set, `***` if it is a secret.
    value: Value,
    /// Whether the value is the default.
    is_default: bool,
}

/// The configuration of the process that answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigurationAnswer {
    /// Version of the program.
    version: &'static str,
    /// All settings, ordered by name.
    rows: Vec<Setting>,
}

/// Shows the configuration of the process that answers. Secrets are not shown.
#[utoipa::path(
    get, path = "/v1/system/configuration", tag = "system",
    responses((status = 200, description = "All settings of the process that answers.", body = ConfigurationAnswer))
)]
pub async fn configuration(State(api): State<Api>) -> Json<ConfigurationAnswer> {
    Json(ConfigurationAnswer {
        version: env!("CARGO_PKG_VERSION"),
        rows: settings(&api.config),
    })
}

fn settings(config: &QueryConfig) -> Vec<Setting> {
    let defaults = named(&QueryConfig::default());
    let setting = |(setting, value): (String, Value)| Setting {
        is_default: defaults.get(&setting) == Some(&value),
        value: without_secrets(value),
        setting,
    };
    named(config).into_iter().map(setting).collect()
}

/// The settings by name. A list is one value, and so is an empty table.
fn named(config: &QueryConfig) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    enter(&mut settings, String::new(), json!(config));
    settings
}

fn enter(settings: &mut BTreeMap<String, Value>, name: String, value: Value) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                enter(settings, name, value);
            }
        }
        value => {
            settings.insert(name, value);
        }
    }
}

/// A URL may contain a password: before its host, or as a parameter.
fn without_secrets(value: Value) -> Value {
    let Some(mut address) = value.as_str().and_then(|text| Url::parse(text).ok()) else {
        return value;
    };
    let parameters = address.query().map(without_values);
    let has_password = address.password().is_some();
    if !has_password && parameters.is_none() {
        return value;
    }
    if has_password && address.set_password(Some("***")).is_err() {
        return Value::Null;
    }
    address.set_query(parameters.as_deref());
    json!(address.as_str())
}

/// The names of a URL's parameters. One without a value is not shown, because it may be a secret itself.
fn without_values(query: &str) -> String {
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) => format!("{name}=***"),
        None => "***".to_owned(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use horolog_stage::config::ConfigArgs;

    use super::*;

    #[test]
    fn every_setting_is_named_and_no_secret_is_shown() {
        let set = [
            "limits.request_timeout_s=7",
            "clickhouse.password=hunter2",
            "clickhouse.url=http://ann:hunter2@ch:8123/",
            "kafka.properties.\"sasl.password\"=hunter2",
            "exports.s3.secret_access_key=hunter2",
        ];
        let set = set.iter().map(ToString::to_string).collect();
        let config = QueryConfig::load(&ConfigArgs { config: None, set }).unwrap();
        let rows = settings(&config);
        let set: BTreeMap<&str, &Value> = rows
            .iter()
            .filter(|row| !row.is_default)
            .map(|row| (row.setting.as_str(), &row.value))
            .collect();
        let expected = json!({
            "clickhouse.password": "***",
            "clickhouse.url": "http://ann:***@ch:8123/",
            "exports.s3.secret_access_key": "***",
            "kafka.properties.sasl.password": "***",
            "limits.request_timeout_s": 7
        });
        assert_eq!(json!(set), expected);
        let by_default = |name: &str| rows.iter().any(|row| row.setting == name && row.is_default);
        assert!(by_default("http.listen") && by_default("exports.folder") && by_default("access.oidc.roles"));
    }

    #[test]
    fn of_the_parameters_of_a_url_only_the_names_are_shown() {
        for (given, shown) in [
            (
                "https://ch:8443/?password=hunter2&max_threads=4",
                "https://ch:8443/?password=***&max_threads=***",
            ),
            ("https://ch:8443/?hunter2", "https://ch:8443/?***"),
            ("https://ch:8443/?a=hunter2=&b=", "https://ch:8443/?a=***&b=***"),
            ("https://ann:hunter2@ch/?user=ann", "https://ann:***@ch/?user=***"),
            ("https://ch:8443", "https://ch:8443"),
            ("broker1:9092,broker2:9092", "broker1:9092,broker2:9092"),
            ("/etc/horolog/key?a=b", "/etc/horolog/key?a=b"),
        ] {
            assert_eq!(without_secrets(json!(given)), json!(shown));
        }
    }
}
