//! Whether an address is on this host: such traffic does not leave it, so it needs no TLS, and must not go to a proxy,
//! which would resolve the address on its own host. Never resolves names.

use std::net::IpAddr;

use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Url};

/// Whether its host is `localhost` or a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// A client for this address: follows no redirects, and uses no proxy for loopback addresses.
pub fn client(url: &str) -> ClientBuilder {
    let http = reqwest::Client::builder().redirect(Policy::none());
    match Url::parse(url).is_ok_and(|url| is_loopback(&url)) {
        true => http.no_proxy(),
        false => http,
    }
}
