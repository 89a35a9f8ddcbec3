//! A request as ClickHouse's HTTP interface reads it: URL parameters, headers, and the fields of a form.
//!
//! Enters: names and values. Leaves: a [`Request`]; every name that is not part of the interface is a setting.
//! Never does: guess. What the front cannot do (sessions, roles, external tables) is refused by name.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Method};

use super::exception::{Code, Exception};

/// The format for clients that name none.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// One statement's request, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The `query` parameter; the body follows it.
    pub query: String,
    /// The database of unqualified names.
    pub database: Option<String>,
    /// The format where the statement has no FORMAT clause.
    pub default_format: String,
    /// The client wants ClickHouse's compressed blocks.
    pub compress: bool,
    /// The body is in ClickHouse's compressed blocks.
    pub decompress: bool,
    /// The response starts only when the whole result is there.
    pub wait_end_of_query: bool,
    /// `enable_http_compression`: the response may be encoded as `Accept-Encoding` allows.
    pub http_compression: bool,
    /// Settings of the statement.
    pub settings: BTreeMap<String, String>,
    /// Values of `{name:Type}`.
    pub parameters: Vec<(String, String)>,
}

impl Request {
    /// Reads method, URL parameters and headers.
    pub fn new(method: &Method, url: &[(String, String)], headers: &HeaderMap) -> Result<Self, Exception> {
        let mut request = Self {
            query: String::new(),
            database: header(headers, "x-clickhouse-database"),
            default_format: header(headers, "x-clickhouse-format").unwrap_or_else(|| DEFAULT_FORMAT.to_owned()),
            compress: false,
            decompress: false,
            wait_end_of_query: false,
            http_compression: false,
            settings: BTreeMap::new(),
            parameters: Vec::new(),
        };
        for (name, value) in url {
            request.set(name, value)?;
        }
        // As in ClickHouse: only a POST changes anything, whatever else a GET asks for.
        if *method != Method::POST && request.settings.get("readonly").is_none_or(|value| value == "0") {
            request.settings.insert("readonly".to_owned(), "2".to_owned());
        }
        Ok(request)
    }

    /// One URL parameter or form field.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Exception> {
        match name {
            "query" => value.clone_into(&mut self.query),
            "database" => self.database = Some(value.to_owned()).filter(|name| !name.is_empty()),
            "default_format" => value.clone_into(&mut self.default_format),
            "compress" => self.compress = flag(name, value)?,
            "decompress" => self.decompress = flag(name, value)?,
            "wait_end_of_query" => self.wait_end_of_query = flag(name, value)?,
            "enable_http_compression" => self.http_compression = flag(name, value)?,
            // Checked elsewhere, or without meaning here: there is one user, one quota, and no temporary file.
            // The response repeats `query_id`, but the engine does not know it: `log_comment` marks a statement.
            "query_id" | "user" | "password" | "quota_key" | "buffer_size" | "stacktrace" | "close_session" => {}
            "session_id" | "session_timeout" | "session_check" => {
                return Err(unsupported(name, "send settings with each request"));
            }
            "role" => return Err(unsupported(name, "there is one user and no roles")),
            "client_protocol_version" if value == "0" => {}
            "client_protocol_version" => return Err(unsupported(name, "the Native format is written at revision 0")),
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value.to_owned())),
                None => {
                    self.settings.insert(name.to_owned(), value.to_owned());
                }
            },
        }
        Ok(())
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

fn flag(name: &str, value: &str) -> Result<bool, Exception> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err(Exception::new(
            Code::BAD_ARGUMENTS,
            format!("{name} must be 0 or 1, not '{value}'"),
        )),
    }
}

fn unsupported(name: &str, instead: &str) -> Exception {
    Exception::new(
        Code::NOT_IMPLEMENTED,
        format!("{name} is not supported by the embedded engine: {instead}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, url: &[(&str, &str)]) -> Result<Request, Exception> {
        let url: Vec<_> = url
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Request::new(&method, &url, &HeaderMap::new())
    }

    #[test]
    fn names_that_are_not_of_the_interface_are_settings() {
        let request = request(
            Method::POST,
            &[
                ("query", "select 1"),
                ("max_threads", "2"),
                ("param_x", "y"),
                ("compress", "1"),
            ],
        )
        .unwrap();
        assert_eq!(
            request.settings,
            BTreeMap::from([("max_threads".to_owned(), "2".to_owned())])
        );
        assert_eq!(request.parameters, [("x".to_owned(), "y".to_owned())]);
        assert!(request.compress && !request.decompress);
    }

    #[test]
    fn a_get_cannot_write() {
        let readonly = |url| request(Method::GET, url).unwrap().settings["readonly"].clone();
        assert_eq!(
            (
                readonly(&[]),
                readonly(&[("readonly", "0")]),
                readonly(&[("readonly", "1")])
            ),
            ("2".into(), "2".into(), "1".into())
        );
        assert!(request(Method::POST, &[]).unwrap().settings.is_empty());
    }

    #[test]
    fn what_the_front_cannot_do_is_refused_by_name() {
        for name in ["session_id", "role", "client_protocol_version"] {
            let refusal = request(Method::POST, &[(name, "54465")]).unwrap_err();
            assert_eq!(refusal.code(), 48);
            assert!(refusal.to_string().contains(name));
        }
    }
}
