//! The HTTP client for the parts of a stack.

/// Asks no proxy that the environment names: all parts listen on this machine, and a proxy would look for them on its own.
pub fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build()
}
