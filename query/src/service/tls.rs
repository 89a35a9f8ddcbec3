//! TLS: certificates from files, reloaded when the files change.
//!
//! Enters: paths of a PEM chain and of its key. Leaves: the TLS configuration of the listener (rustls: TLS 1.2 and 1.3,
//! with HTTP/2 and HTTP/1.1). Guarantees: files that do not match prevent the start; later they are logged and the
//! previous certificate stays, so that a failed renewal is no outage until the old one expires. Open connections keep
//! the certificate that they began with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use tokio::time::sleep;

use crate::config::HttpConfig;

/// A certificate that is kept up to date.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    loaded: (Vec<u8>, Vec<u8>),
    config: RustlsConfig,
}

impl Certificate {
    /// As configured; `None` if the service speaks plain HTTP.
    pub async fn load(config: &HttpConfig) -> anyhow::Result<Option<Self>> {
        let (Some(chain), Some(key)) = (&config.tls_certificate_file, &config.tls_key_file) else {
            return Ok(None);
        };
        let loaded = read(chain, key).await?;
        let config = RustlsConfig::from_pem(loaded.0.clone(), loaded.1.clone()).await;
        Ok(Some(Self {
            config: config.context("http.tls_certificate_file, http.tls_key_file")?,
            chain: chain.clone(),
            key: key.clone(),
            loaded,
        }))
    }

    /// For the listener; follows later reloads.
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Checks the files periodically, forever. By content: tools that renew certificates replace links, files or
    /// folders.
    pub async fn follow(mut self, interval: Duration) {
        loop {
            sleep(interval).await;
            match self.renew().await {
                Ok(true) => tracing::info!(chain = %self.chain.display(), "the new certificate is now in use"),
                Ok(false) => {}
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the certificate cannot be renewed; the previous one stays in use"
                ),
            }
        }
    }

    async fn renew(&mut self) -> anyhow::Result<bool> {
        let found = read(&self.chain, &self.key).await?;
        if found == self.loaded {
            return Ok(false);
        }
        // Chain and key are two files: between the two writes they do not match, but they do at the next check.
        let loaded = self.config.reload_from_pem(found.0.clone(), found.1.clone()).await;
        loaded.context("http.tls_certificate_file, http.tls_key_file")?;
        self.loaded = found;
        Ok(true)
    }
}

async fn read(chain: &Path, key: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let of_chain = || format!("http.tls_certificate_file = {}", chain.display());
    let of_key = || format!("http.tls_key_file = {}", key.display());
    Ok((
        tokio::fs::read(chain).await.with_context(of_chain)?,
        tokio::fs::read(key).await.with_context(of_key)?,
    ))
}
