//! A bucket of S3-compatible storage that holds exports, as `PREFIX/ID/NAME`.
//!
//! Enters: files and small texts. Leaves: the same, whole or in ranges. Guarantees: an object has its name only when it
//! is complete (a multipart upload is not visible before); a refusal of the bucket names the setting to change. Never
//! lists or removes anything outside an export's own prefix.

pub mod config;
mod error;
mod upload;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use horolog_stage::config::ConfigError;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, GetOptions, GetRange, MultipartId, ObjectStore, ObjectStoreExt,
    RetryConfig,
};

use self::config::{S3Config, invalid};
pub use self::error::BucketError;
pub use self::upload::Upload;

/// Written and removed at startup, to check that the bucket is writable.
const PROBE: &str = ".horolog-probe";
/// How long the library retries a request; longer waits happen between requests.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
const RETRIES_MAX: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a download that broke off may be resumed: longer than any file takes.
const READING_TIMEOUT: Duration = Duration::from_secs(86_400);

/// The bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    /// For downloads, whose total time is not bounded: only the time without a byte is.
    bodies: Arc<AmazonS3>,
    url: String,
    prefix: String,
    part_bytes: usize,
    parts_in_flight_max: usize,
}

impl Bucket {
    /// As configured; does not connect. `None` if no bucket is configured.
    pub fn new(config: &S3Config) -> Result<Option<Self>, ConfigError> {
        config.check()?;
        let Some(bucket) = &config.bucket else { return Ok(None) };
        let (options, builder) = (client_options(config)?, builder(config, bucket)?);
        let built = |options, retry_timeout| {
            let retry = RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES_MAX,
                retry_timeout,
            };
            let builder = builder.clone().with_client_options(options).with_retry(retry);
            let built = builder.build().map(Arc::new);
            built.or_else(|error| invalid("bucket", &error.to_string()))
        };
        let timeout = Duration::from_secs(config.request_timeout_s);
        let store = built(options.clone().with_timeout(timeout), RETRY_TIMEOUT)?;
        let of_bodies = options.with_timeout_disabled().with_read_timeout(timeout);
        let bodies = built(of_bodies, READING_TIMEOUT)?;
        let prefix = config.prefix.clone();
        let separator = if prefix.is_empty() { "" } else { "/" };
        Ok(Some(Self {
            store,
            bodies,
            url: format!("s3://{bucket}{separator}{prefix}"),
            prefix,
            part_bytes: usize::try_from(config.part_bytes).unwrap_or(usize::MAX),
            parts_in_flight_max: config.parts_in_flight_max,
        }))
    }

    /// Bucket and prefix as `s3://BUCKET/PREFIX`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes an object and removes it, so that a misconfiguration shows at startup rather than at night.
    pub async fn probe(&self) -> Result<(), BucketError> {
        let key = Path::from(format!("{}/{PROBE}", self.prefix));
        let tried = async {
            self.store.put(&key, Bytes::from_static(b"horolog").into()).await?;
            self.store.delete(&key).await
        };
        tried.await.map_err(|error| match error.into() {
            BucketError::NotFound(reason) => BucketError::Refused {
                setting: "exports.s3.bucket",
                reason,
            },
            error => error,
        })
    }

    /// Writes a small object in one request.
    pub async fn put(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<(), BucketError> {
        self.store.put(&self.key(folder, name), bytes.into()).await?;
        Ok(())
    }

    /// The size of an object. Bytes.
    pub async fn size(&self, folder: &str, name: &str) -> Result<u64, BucketError> {
        Ok(self.store.head(&self.key(folder, name)).await?.size)
    }

    /// The bytes of an object in a range.
    pub async fn read(
        &self,
        folder: &str,
        name: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BucketError>>, BucketError> {
        if range.is_empty() {
            return Ok(futures_util::stream::empty().boxed()); // S3 has no range without a byte
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let found = self.bodies.get_opts(&self.key(folder, name), options).await?;
        Ok(found.into_stream().map_err(BucketError::from).boxed())
    }

    /// The names of an export's objects.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, BucketError> {
        let all = self.store.list(Some(&self.key(folder, "")));
        let names = all.map_ok(|object| object.location.filename().unwrap_or_default().to_owned());
        Ok(names.try_collect().await?)
    }

    /// Removes an export's objects.
    pub async fn remove(&self, folder: &str) -> Result<(), BucketError> {
        for name in self.names(folder).await? {
            match self
                .store
                .delete(&self.key(folder, &name))
                .await
                .map_err(BucketError::from)
            {
                Err(BucketError::NotFound(_)) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Aborts an upload that nobody will continue. It is fine if it no longer exists.
    pub async fn abort(&self, folder: &str, name: &str, upload: &MultipartId) -> Result<(), BucketError> {
        match self
            .store
            .abort_multipart(&self.key(folder, name), upload)
            .await
            .map_err(BucketError::from)
        {
            Err(BucketError::NotFound(_)) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn key(&self, folder: &str, name: &str) -> Path {
        Path::from(format!("{}/{folder}/{name}", self.prefix))
    }
}

/// How to connect.
fn client_options(config: &S3Config) -> Result<ClientOptions, ConfigError> {
    let mut options = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(config.is_plain());
    if config.is_of_this_machine() {
        // A proxy of the environment would resolve the address on its own host. The library cannot disable it, so
        // set one that is used for nothing.
        options = options
            .with_proxy_url("http://127.0.0.1")
            .with_proxy_excludes("*,0.0.0.0/0,::/0");
    }
    if let Some(pem) = config.ca()? {
        let Ok(certificates) = Certificate::from_pem_bundle(pem.as_bytes()) else {
            return invalid("ca_file", "must hold certificates in PEM");
        };
        options = certificates
            .into_iter()
            .fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

/// What to connect to, and as whom.
fn builder(config: &S3Config, bucket: &str) -> Result<AmazonS3Builder, ConfigError> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(config.virtual_hosted)
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(id) = &config.access_key_id {
        builder = builder.with_access_key_id(id).with_secret_access_key(config.secret()?);
    }
    Ok(builder)
}
