//! compose.yaml against the rest: the versions and topics of the local stack, and the configuration of the real
//! binaries.

use std::path::Path;
use std::process::Command;

use horolog_local::stack::flow::TOPICS;

use crate::compose::{is_one_shot, own_services, services, texts};
use crate::tools::{output, read};

const HOROLOG: &str = env!("CARGO_BIN_EXE_horolog");

#[test]
fn compose_runs_the_versions_that_one_machine_runs() {
    let image = |service: &str| services()[service]["image"].as_str().unwrap().to_owned();
    let kafka = image("kafka").replace("apache/kafka:", "");
    assert_eq!(image("topics"), image("kafka"));
    assert!(
        read("local/src/setup/kafka-pom.xml").contains(&format!("<version>{kafka}</version>")),
        "{kafka}"
    );
    let clickhouse = image("clickhouse").replace("clickhouse/clickhouse-server:", "");
    assert!(
        read("local/src/setup/clickhouse.rs").contains(&format!("@{clickhouse}.")),
        "{clickhouse}"
    );
    for (name, service, _) in own_services() {
        assert_eq!(
            service["image"],
            concat!("horolog:", env!("CARGO_PKG_VERSION")),
            "{name}"
        );
    }
}

#[test]
fn the_topics_are_those_of_one_machine() {
    let script = services()["topics"]["command"][0].as_str().unwrap();
    let list = script.split("for topic in ").nth(1).unwrap().split(';').next().unwrap();
    let topics = TOPICS.map(|(name, partitions)| format!("{name}:{partitions}"));
    assert_eq!(list.split_whitespace().collect::<Vec<_>>(), topics);
}

/// Reading the password is the first thing a service does with a configuration it has understood.
#[test]
fn each_binary_understands_the_environment_it_is_given() {
    for (name, service, binary) in own_services() {
        let program = Path::new(HOROLOG).with_file_name(binary);
        assert!(
            program.exists(),
            "{binary} is not built: cargo build --release --workspace"
        );
        let section = format!("HOROLOG_{}__", binary.trim_start_matches("horolog-").to_uppercase());
        let environment = service["environment"].as_object().unwrap();
        let password = format!("{section}CLICKHOUSE__PASSWORD_FILE");
        assert_eq!(environment[&password], "/run/secrets/clickhouse_password", "{name}");
        let mut command = Command::new(program);
        command.args(texts(&service["command"]).iter().skip(1)).env_clear();
        for (variable, value) in environment {
            assert!(
                variable.starts_with(&section) || variable == "TMPDIR",
                "{name}: {variable}"
            );
            command.env(variable, value.as_str().unwrap());
        }
        let output = output(command.env(&password, "/nonexistent/password"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("cannot read clickhouse.password_file"),
            "{name}: {said}"
        );
    }
}

#[test]
fn health_is_asked_where_the_service_listens() {
    for (name, service, binary) in own_services().filter(|(_, service, _)| !is_one_shot(service)) {
        let listen = format!(
            "HOROLOG_{}__HTTP__LISTEN",
            binary.trim_start_matches("horolog-").to_uppercase()
        );
        let port = service["environment"][listen]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap();
        let asked = format!("http://127.0.0.1:{port}/readyz");
        assert!(
            texts(&service["healthcheck"]["test"]).contains(&asked.as_str()),
            "{name}: {asked}"
        );
        for published in texts(&service["ports"]) {
            assert!(published.ends_with(&format!(":{port}")), "{name}: {published}");
        }
    }
}
