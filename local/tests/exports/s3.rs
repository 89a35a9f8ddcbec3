//! An independent S3 server (moto), as its operator sees it: objects, their versions, uploads in progress.

use std::collections::BTreeMap;

use horolog_local::process::{Launch, Process, Signal};
use horolog_local::stack::Ports;

use crate::bed::{Bed, http, python, wait_until};
use crate::requester::DEADLINE;

const PACKAGES: &str = "moto[s3]==5.2.5\nflask==3.1.3\nflask-cors==6.0.5\n";
pub(crate) const SECRET: &str = "a-secret-that-is-not-logged";
/// The smallest part that S3 accepts.
const PART_BYTES: &str = "5242880";

/// The server. Dropped, it is gone.
pub(crate) struct S3 {
    process: Process,
    url: String,
}

impl S3 {
    pub(crate) fn start() -> Self {
        Self::start_at(Ports::free().unwrap().query)
    }

    pub(crate) fn start_at(port: u16) -> Self {
        let bed = Bed::shared();
        let name = format!("s3-{port}");
        let launch = ["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]
            .into_iter()
            .fold(
                Launch::new(&name, python("s3", PACKAGES), bed.layout().folder.log(&name)),
                Launch::arg,
            );
        // This many requests are answered without authentication; after that it checks keys, and knows none.
        let launch = launch.env("INITIAL_NO_AUTH_ACTION_COUNT", "1000000000");
        let server = Self {
            process: launch.start(&bed.layout().horolog).unwrap(),
            url: format!("http://127.0.0.1:{port}"),
        };
        wait_until(DEADLINE, "the S3 server answers", || {
            bed.try_get(&format!("{}/moto-api/", server.url)).is_ok()
        });
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes a bucket that keeps every version of its objects.
    pub(crate) fn make_bucket(&self, bucket: &str) {
        self.ask("PUT", bucket, "");
        self.ask(
            "PUT",
            &format!("{bucket}?versioning"),
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        );
    }

    pub(crate) fn put(&self, bucket: &str, key: &str, body: &str) {
        self.ask("PUT", &format!("{bucket}/{key}"), body);
    }

    /// From now on it refuses everybody.
    pub(crate) fn refuse(&self) {
        self.ask("POST", "moto-api/reset-auth", "0");
    }

    pub(crate) fn pause(&mut self) {
        self.process.signal(Signal::SIGSTOP);
    }

    pub(crate) fn go_on(&mut self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// The names of objects.
    pub(crate) fn objects(&self, bucket: &str) -> Vec<String> {
        let listed = self.ask("GET", &format!("{bucket}?list-type=2"), "");
        values(&listed, "Key").into_iter().map(str::to_owned).collect()
    }

    /// How often each object was written.
    pub(crate) fn versions(&self, bucket: &str) -> BTreeMap<String, usize> {
        let listed = self.ask("GET", &format!("{bucket}?versions"), "");
        let mut versions = BTreeMap::new();
        for key in values(&listed, "Key") {
            *versions.entry(key.to_owned()).or_default() += 1;
        }
        versions
    }

    /// Uploads that were begun and neither completed nor given up: the object of each, by its id.
    pub(crate) fn uploads(&self, bucket: &str) -> BTreeMap<String, String> {
        let listed = self.ask("GET", &format!("{bucket}?uploads"), "");
        let both = values(&listed, "UploadId").into_iter().zip(values(&listed, "Key"));
        both.map(|(id, key)| (id.to_owned(), key.to_owned())).collect()
    }

    /// How many parts of an upload have arrived.
    pub(crate) fn parts(&self, bucket: &str, key: &str, upload: &str) -> usize {
        let listed = self.ask("GET", &format!("{bucket}/{key}?uploadId={upload}"), "");
        values(&listed, "PartNumber").len()
    }

    /// Settings of a service that writes its exports here.
    pub(crate) fn settings<'a>(&'a self, bucket: &'a str) -> Vec<(&'static str, &'a str)> {
        settings_at(&self.url, bucket)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let url = format!("{}/{path}", self.url);
        let request = http().request(method.parse().unwrap(), url);
        let request = request
            .header("content-type", "application/octet-stream")
            .body(body.to_owned());
        Bed::shared().block_on(async {
            let answer = request.timeout(DEADLINE).send().await.unwrap();
            answer.error_for_status().unwrap().text().await.unwrap()
        })
    }
}

/// Settings of a service that writes its exports to this address, where nothing need answer.
pub(crate) fn settings_at<'a>(url: &'a str, bucket: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("HOROLOG_QUERY__EXPORTS__S3__ENDPOINT", url),
        ("HOROLOG_QUERY__EXPORTS__S3__BUCKET", bucket),
        ("HOROLOG_QUERY__EXPORTS__S3__PREFIX", "audit/exports"),
        ("HOROLOG_QUERY__EXPORTS__S3__ACCESS_KEY_ID", "horolog"),
        ("HOROLOG_QUERY__EXPORTS__S3__SECRET_ACCESS_KEY", SECRET),
        ("HOROLOG_QUERY__EXPORTS__S3__PART_BYTES", PART_BYTES),
    ]
}

/// What is in the elements of this name.
fn values<'a>(listed: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let elements = listed.split(&begin).skip(1);
    elements.map(|rest| rest.split_once(&end).unwrap().0).collect()
}
