//! The HTTP client for the query API that is measured.

/// Ignores proxies from the environment, as the Kafka and ClickHouse clients do: only the API itself is measured.
pub fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy()
}
