//! Headers of weighted preferences (RFC 9110, 12.4.2): `Accept` and `Accept-Encoding`. Pure.

use axum::http::{HeaderMap, HeaderName};

/// What the caller accepts, in its order, each with its weight in thousandths; a weight that is no number is 0.
pub fn weighted(headers: &HeaderMap, name: HeaderName) -> Vec<(&str, u32)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(item).collect()
}

fn item(text: &str) -> (&str, u32) {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("q="))
        .map_or(1.0, |weight| weight.parse().unwrap_or(0.0_f32));
    (name.trim(), (weight.clamp(0.0, 1.0) * 1_000.0) as u32)
}
