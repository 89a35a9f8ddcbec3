//! Who may talk to the front: one user, `default`, with the password of the password file.
//!
//! Enters: headers and URL parameters. Leaves: nothing, or ClickHouse's error 516. The engine itself authenticates
//! nobody, so every statement passes here first. Passwords are compared by digest, so that the time of a comparison
//! reveals nothing about them.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::exception::{Code, Exception};

const USER: &str = "default";

/// The digest of the one password.
#[derive(Clone)]
pub struct Password([u8; 32]);

/// Why a request is not let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names nobody: the client may be asked for a password.
    Anonymous,
    /// The wrong user or password, or credentials given in more than one way.
    Wrong(&'static str),
}

impl Refusal {
    /// The same text for a wrong user and a wrong password.
    pub fn exception(&self) -> Exception {
        let reason = match self {
            Self::Anonymous => "default: Authentication failed: password is missing",
            Self::Wrong(reason) => reason,
        };
        Exception::new(Code::AUTHENTICATION_FAILED, reason)
    }
}

impl Password {
    /// From the text of the password file; the line end is not part of it.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.trim_end_matches(['\r', '\n'])).into())
    }

    /// Checks the credentials of a request: `X-ClickHouse-User`/`-Key`, basic authorization, or `user`/`password` in
    /// the URL. As in ClickHouse they must not be mixed.
    pub fn check(&self, headers: &HeaderMap, url_parameters: &[(String, String)]) -> Result<(), Refusal> {
        let given = [
            from_headers(headers),
            from_authorization(headers)?,
            from_url(url_parameters),
        ];
        let mut given = given.into_iter().flatten();
        let credentials = given.next().ok_or(Refusal::Anonymous)?;
        if given.next().is_some() {
            return Err(Refusal::Wrong(
                "Invalid authentication: it is not allowed to use more than one scheme",
            ));
        }
        let user_fits = Sha256::digest(&credentials.user) == Sha256::digest(USER);
        let password_fits = Sha256::digest(&credentials.password).as_slice() == self.0;
        if user_fits & password_fits {
            Ok(())
        } else {
            Err(Refusal::Wrong(
                "Authentication failed: password is incorrect, or there is no user with such name",
            ))
        }
    }
}

struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// A password alone belongs to the default user.
    fn new(user: Option<String>, password: Option<String>) -> Option<Self> {
        (user.is_some() || password.is_some()).then(|| Self {
            user: user.filter(|user| !user.is_empty()).unwrap_or_else(|| USER.to_owned()),
            password: password.unwrap_or_default(),
        })
    }
}

fn from_headers(headers: &HeaderMap) -> Option<Credentials> {
    let value = |name: &str| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Credentials::new(value("x-clickhouse-user"), value("x-clickhouse-key"))
}

fn from_authorization(headers: &HeaderMap) -> Result<Option<Credentials>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let malformed = Refusal::Wrong("Invalid authentication: only basic HTTP authorization is supported");
    let decoded = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, encoded)| BASE64_STANDARD.decode(encoded.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(decoded) = decoded else { return Err(malformed) };
    let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
    Ok(Credentials::new(Some(user.to_owned()), Some(password.to_owned())))
}

fn from_url(parameters: &[(String, String)]) -> Option<Credentials> {
    let value = |name: &str| {
        parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    Credentials::new(value("user"), value("password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn url(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn each_way_to_give_the_password_is_accepted() {
        let password = Password::new("s3cret\n");
        let basic = format!("Basic {}", BASE64_STANDARD.encode("default:s3cret"));
        assert_eq!(
            password.check(
                &headers(&[("x-clickhouse-user", "default"), ("x-clickhouse-key", "s3cret")]),
                &[]
            ),
            Ok(())
        );
        assert_eq!(password.check(&headers(&[("x-clickhouse-key", "s3cret")]), &[]), Ok(()));
        assert_eq!(password.check(&headers(&[("authorization", &basic)]), &[]), Ok(()));
        assert_eq!(
            password.check(&headers(&[]), &url(&[("user", "default"), ("password", "s3cret")])),
            Ok(())
        );
    }

    #[test]
    fn nobody_wrong_and_mixed_are_refused() {
        let password = Password::new("s3cret");
        let wrong = |headers: &HeaderMap, url: &[(String, String)]| {
            matches!(password.check(headers, url), Err(Refusal::Wrong(_)))
        };
        assert_eq!(password.check(&headers(&[]), &[]), Err(Refusal::Anonymous));
        assert!(wrong(&headers(&[("x-clickhouse-key", "S3cret")]), &[]));
        assert!(wrong(
            &headers(&[("x-clickhouse-user", "root"), ("x-clickhouse-key", "s3cret")]),
            &[]
        ));
        assert!(wrong(
            &headers(&[("x-clickhouse-key", "s3cret")]),
            &url(&[("password", "s3cret")])
        ));
        assert!(wrong(&headers(&[("authorization", "Bearer s3cret")]), &[]));
    }

    #[test]
    fn an_empty_password_does_not_match_an_absent_one() {
        assert_eq!(Password::new("").check(&headers(&[]), &[]), Err(Refusal::Anonymous));
    }
}
