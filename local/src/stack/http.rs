//! The HTTP client for the parts of a stack.

/// Ignores proxies from the environment: all parts listen on loopback, where a proxy on another machine cannot reach
/// them.
pub fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build()
}
