//! The HTTP client for the query API that is measured.

/// Asks no proxy that the environment names, as the clients of Kafka and ClickHouse ask none: what is measured is the API alone.
pub fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy()
}
