//! A broker that requires TLS and a password, as clusters do: the stages need librdkafka's properties and nothing else.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use horolog_local::stack::Ports;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::bed::{Bed, HOROLOG, wait_until};
use crate::flow::Flow;

const PASSWORD: &str = "a password, with \"quotes\" and = signs";
const REFUSED_DEADLINE: Duration = Duration::from_secs(240);

/// Gives the broker a second listener with TLS and SASL, and starts it again; returns its address and the certificate
/// to trust.
fn secure(bed: &Bed) -> (String, PathBuf) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = bed.layout().broker().folder;
    let (store, trusted) = (folder.join("broker.pem"), folder.join("trusted.pem"));
    std::fs::write(&store, signing_key.serialize_pem() + &cert.pem()).unwrap();
    std::fs::write(&trusted, cert.pem()).unwrap();
    let (plain, controller) = (bed.layout().ports.kafka, bed.layout().ports.kafka_controller);
    let secured = Ports::free().unwrap().kafka;
    // The last of two entries for a property counts.
    let properties = format!(
        "
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SECURED://127.0.0.1:{secured}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SECURED://localhost:{secured}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={store}
listener.name.secured.sasl.enabled.mechanisms=PLAIN
listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_horolog=\"{password}\";
",
        store = store.display(),
        password = PASSWORD.replace('"', "\\\\\""),
    );
    let mut file = OpenOptions::new()
        .append(true)
        .open(folder.join("server.properties"))
        .unwrap();
    file.write_all(properties.as_bytes()).unwrap();
    bed.restart_broker();
    (format!("localhost:{secured}"), trusted)
}

fn properties<'a>(trusted: &'a Path, password: &'a str) -> [(&'static str, &'a str); 6] {
    [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "horolog"),
        ("sasl.password", password),
        ("ssl.ca.location", trusted.to_str().unwrap()),
        ("broker.address.family", "v4"),
    ]
}

/// As in the environment: a TOML table.
fn as_toml(properties: [(&str, &str); 6]) -> String {
    let pairs = properties.map(|(name, value)| format!("\"{name}\" = {}", serde_json::Value::from(value)));
    format!("{{{}}}", pairs.join(", "))
}

/// Imports a file with these properties.
fn import(address: &str, properties: [(&str, &str); 6]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.csv");
    std::fs::write(&file, "timestamp,value\n2026-11-01 00:00:00,1\n").unwrap();
    let properties = properties.map(|(name, value)| format!("{name}={value}"));
    let properties = properties.iter().flat_map(|property| ["--kafka-property", property]);
    Command::new(HOROLOG)
        .args(["import", "--service", "secured", "--kafka", address])
        .args(properties)
        .arg(&file)
        .output()
        .unwrap()
}

#[test]
fn a_broker_with_tls_and_passwords_needs_properties_and_nothing_else() {
    let bed = Bed::start();
    let (address, trusted) = secure(&bed);
    let flow = Flow::new(&bed, "secured", 3);
    flow.produce(1_000);

    let with = |stage: &str, password: &str| {
        [
            (format!("HOROLOG_{stage}__KAFKA__BOOTSTRAP"), address.clone()),
            (
                format!("HOROLOG_{stage}__KAFKA__PROPERTIES"),
                as_toml(properties(&trusted, password)),
            ),
        ]
    };
    let wrong = with("INGEST", "wrong");
    // A starved broker may not have checked the password yet when the stage gives up, which then can only say that
    // nobody answered.
    wait_until(REFUSED_DEADLINE, "ingest says that the password is refused", || {
        let mut ingest = flow.ingest(&wrong.each_ref().map(|(name, value)| (name.as_str(), value.as_str())));
        let status = ingest.wait(REFUSED_DEADLINE);
        let log = std::fs::read_to_string(ingest.log()).unwrap();
        assert!(
            !status.success() && log.contains("kafka.bootstrap = localhost:"),
            "{log}"
        );
        assert!(!log.contains(PASSWORD));
        let last_line = log.trim_end().lines().last().unwrap_or_default();
        last_line.contains("kafka.bootstrap = ") && last_line.contains("Authentication failed")
    });

    wait_until(REFUSED_DEADLINE, "import says that the password is refused", || {
        let refused = import(&address, properties(&trusted, "wrong"));
        assert_eq!(refused.status.code(), Some(1));
        String::from_utf8_lossy(&refused.stderr).contains("Authentication failed")
    });

    let (ingest, aggregate) = (with("INGEST", PASSWORD), with("AGGREGATE", PASSWORD));
    let _ingest = flow.ingest(&ingest.each_ref().map(|(name, value)| (name.as_str(), value.as_str())));
    let _aggregate = flow.aggregate(
        &aggregate
            .each_ref()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    flow.wait_until_stored();
    flow.assert_exactly_once();
}
