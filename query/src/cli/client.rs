//! Requests to the API: where to send them, with which key, and how to interpret the answers.
//!
//! Enters: a path and parameters. Leaves: JSON, pages of rows, or a [`CliError`]. Guarantees: redirects are not
//! followed and a loopback address is not reached through a proxy, so the key goes only to the given address; a request
//! refused as busy or rate limited is sent again when the service says ([`patience`]).

use std::time::Duration;

use horolog_schemas::configuration::Secret;
use horolog_schemas::errors::innermost;
use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::connection::ConnectionArgs;
use super::error::{CliError, ProblemDetails};
use super::patience;
use horolog_stage::loopback;

/// Timeout for connecting. The request itself is bounded by the service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows per page when there are several pages.
const PAGE_ROWS: usize = 1_000;

/// Names and values, in the order in which they are sent.
pub type Parameters = Vec<(&'static str, String)>;

/// A page of an answer. Rows stay as they were written: a number of thirty digits keeps them all.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Box<RawValue>>,
    /// Through when the answer is complete, if it says so; `Some(None)` if it is not complete at all.
    #[serde(default, deserialize_with = "told")]
    pub complete_through: Option<Option<String>>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default, alias = "truncated")]
    more: bool,
}

/// How many rows to take.
#[derive(Debug, Clone, Copy)]
pub enum Take {
    /// All: the resource has no pages and no limit.
    Everything,
    /// Rows up to a limit, in one answer.
    Once(u32),
    /// Rows up to a limit, over as many pages as it takes.
    Pages(u32),
}

fn told<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A client of the service.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<Secret>,
    tenant: Option<String>,
}

impl Client {
    /// According to the arguments.
    pub fn new(arguments: &ConnectionArgs) -> Result<Self, CliError> {
        let http = loopback::client(&arguments.url)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("horolog-query/", env!("CARGO_PKG_VERSION")));
        let key = arguments.key(std::env::var_os)?;
        Ok(Self {
            http: http.build().map_err(|error| CliError::Argument {
                name: "--url",
                reason: error.to_string(),
            })?,
            url: arguments.url.trim_end_matches('/').to_owned(),
            key,
            // As an empty key: set to nothing.
            tenant: arguments.tenant.clone().filter(|tenant| !tenant.is_empty()),
        })
    }

    /// The JSON at a path, unchanged.
    pub async fn text(&self, path: &str, parameters: &[(&'static str, String)]) -> Result<String, CliError> {
        let request = self.request(Method::GET, path).query(&self.scoped(parameters));
        self.body(self.answer(request).await?).await
    }

    /// Sends JSON and gets JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<String, CliError> {
        let request = self.request(Method::POST, path).query(&self.scoped(&[])).json(body);
        self.body(self.answer(request).await?).await
    }

    /// Sends a DELETE request.
    pub async fn delete(&self, path: &str) -> Result<(), CliError> {
        let request = self.request(Method::DELETE, path).query(&self.scoped(&[]));
        self.answer(request).await.map(drop)
    }

    /// The bytes at a path, in a media type, starting at an offset.
    pub async fn bytes(
        &self,
        path: &str,
        parameters: &[(&'static str, String)],
        accept: &str,
        from: u64,
    ) -> Result<Response, CliError> {
        let mut request = self.request(Method::GET, path).query(&self.scoped(parameters));
        request = request.header(ACCEPT, accept);
        if from > 0 {
            request = request.header(reqwest::header::RANGE, format!("bytes={from}-"));
        }
        self.answer(request).await
    }

    /// The rows of an answer, limited by `take`; `each` gets the pages. True if there are more rows.
    pub async fn pages(
        &self,
        path: &str,
        parameters: &Parameters,
        take: Take,
        mut each: impl FnMut(Page) -> Result<(), CliError>,
    ) -> Result<bool, CliError> {
        let (mut left, page_rows) = match take {
            Take::Everything => (usize::MAX, None),
            Take::Once(rows) => (rows as usize, Some(rows as usize)),
            Take::Pages(rows) => (rows as usize, Some(PAGE_ROWS)),
        };
        let mut cursor = None;
        loop {
            let mut asked = parameters.clone();
            asked.extend(page_rows.map(|rows| ("limit", left.min(rows).to_string())));
            asked.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let text = self.text(path, &asked).await?;
            let mut page: Page = self.parsed(path, &text)?;
            page.rows.truncate(left);
            left -= page.rows.len();
            cursor = page.next_cursor.take();
            let more = page.more || cursor.is_some();
            each(page)?;
            if cursor.is_none() || left == 0 {
                return Ok(more);
            }
        }
    }

    /// Parses a JSON answer.
    pub fn parsed<T: DeserializeOwned>(&self, path: &str, text: &str) -> Result<T, CliError> {
        serde_json::from_str(text).map_err(|error| CliError::Answer {
            url: format!("{}{path}", self.url),
            reason: error.to_string(),
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    /// The same client for resources without a tenant, whichever tenant the arguments name.
    pub fn of_no_tenant(&self) -> Self {
        Self {
            tenant: None,
            ..self.clone()
        }
    }

    fn scoped(&self, parameters: &[(&'static str, String)]) -> Parameters {
        let tenant = self.tenant.iter().map(|tenant| ("tenant_id", tenant.clone()));
        tenant.chain(parameters.iter().cloned()).collect()
    }

    /// Sends a request, waiting and retrying if needed: an export of years, or a table of many pages, must not fail
    /// halfway because the key's requests of the hour are used up.
    async fn answer(&self, mut request: RequestBuilder) -> Result<Response, CliError> {
        let mut waits = 0;
        loop {
            let again = request.try_clone();
            let refusal = match self.answer_now(request).await {
                Err(refusal) => refusal,
                answer => return answer,
            };
            let (Some(wait), Some(again)) = (patience::wait(&refusal, waits), again) else {
                return Err(refusal);
            };
            eprintln!("horolog-query: {refusal}; trying again in {} s", wait.as_secs());
            sleep(wait).await;
            (request, waits) = (again, waits + 1);
        }
    }

    async fn answer_now(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| self.unreached(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await.unwrap_or_default();
        let mut problem: ProblemDetails = serde_json::from_str(&text).unwrap_or_default();
        problem.status = status.as_u16();
        if problem.title.is_empty() {
            problem.title = status.canonical_reason().unwrap_or("the request failed").to_owned();
        }
        Err(CliError::Problem {
            problem: Box::new(problem),
            retry_after_s,
        })
    }

    async fn body(&self, response: Response) -> Result<String, CliError> {
        response.text().await.map_err(|error| self.unreached(&error))
    }

    pub(super) fn unreached(&self, error: &reqwest::Error) -> CliError {
        if error.is_builder() {
            return CliError::Argument {
                name: "--url or HOROLOG_QUERY_URL",
                reason: format!("{:?} is not the address of a service: {}", self.url, innermost(error)),
            };
        }
        CliError::Unreached {
            url: self.url.clone(),
            reason: innermost(error),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A service that sends these answers, one per connection, and then returns the requests that it received.
    pub(in crate::cli) async fn service(answers: &[impl ToString]) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut answers: VecDeque<String> = answers.iter().map(ToString::to_string).collect();
        let served = tokio::spawn(async move {
            let mut asked = Vec::new();
            while let Some(answer) = answers.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let read = stream.read(&mut request).await.unwrap();
                let line = String::from_utf8_lossy(&request[..read]);
                asked.push(line.lines().next().unwrap_or_default().to_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        let arguments = ConnectionArgs {
            url,
            key: None,
            key_file: None,
            tenant: None,
        };
        (Client::new(&arguments).unwrap(), served)
    }

    #[tokio::test]
    async fn a_page_that_is_refused_for_now_is_asked_for_again_and_the_others_are_not() {
        let (client, served) = service(&[
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"rows\": [1, 2], \"next_cursor\": \"c\"}",
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n\r\n{}",
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"rows\": [3], \"next_cursor\": null}",
        ])
        .await;
        let mut rows = Vec::new();
        let more = client
            .pages("/v1/x", &Vec::new(), Take::Pages(10), |page| {
                rows.extend(page.rows.iter().map(|row| row.get().to_owned()));
                Ok(())
            })
            .await;
        assert!(!more.unwrap());
        assert_eq!(rows, ["1", "2", "3"]);
        let second = "GET /v1/x?limit=8&cursor=c HTTP/1.1";
        assert_eq!(
            served.await.unwrap(),
            ["GET /v1/x?limit=10 HTTP/1.1", second, second, second]
        );
    }

    #[tokio::test]
    async fn a_refusal_without_a_time_is_told_at_once() {
        let (client, served) =
            service(&["HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n{\"detail\": \"away\"}"]).await;
        let refused = client.text("/v1/x", &[]).await.unwrap_err();
        assert_eq!(refused.to_string(), "away (status 503)");
        assert_eq!(served.await.unwrap().len(), 1);
    }
}
