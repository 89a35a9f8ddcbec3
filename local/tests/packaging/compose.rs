//! compose.yaml by itself: it conforms to the specification, refers only to what it declares, and limits and
//! health-checks every container.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::tools::{output, read, tools, workspace, yaml};

/// compose.yaml with its anchors resolved.
pub(crate) fn compose() -> &'static Value {
    static COMPOSE: OnceLock<Value> = OnceLock::new();
    COMPOSE.get_or_init(|| yaml("compose.yaml"))
}

pub(crate) fn services() -> &'static Map<String, Value> {
    compose()["services"].as_object().unwrap()
}

pub(crate) fn texts(value: &Value) -> Vec<&str> {
    let array = value.as_array().map_or(&[][..], Vec::as_slice);
    array.iter().map(|item| item.as_str().unwrap()).collect()
}

/// A service that runs to its end before others start.
pub(crate) fn is_one_shot(service: &Value) -> bool {
    service["restart"] == "no"
}

/// The services that run a binary of this workspace, with its name.
pub(crate) fn own_services() -> impl Iterator<Item = (&'static str, &'static Value, &'static str)> {
    let own = |service: &Value| service["image"].as_str().unwrap().starts_with("horolog:");
    services()
        .iter()
        .filter(move |(_, service)| own(service))
        .map(|(name, service)| (name.as_str(), service, service["command"][0].as_str().unwrap()))
}

fn fits_the_schema(file: &Path) -> bool {
    let mut command = Command::new(tools().join("check-jsonschema"));
    let output = output(command.args(["--builtin-schema", "vendor.compose-spec"]).arg(file));
    println!("{}", String::from_utf8_lossy(&output.stdout));
    output.status.success()
}

#[test]
fn compose_fits_the_compose_specification() {
    assert!(fits_the_schema(&workspace().join("compose.yaml")));
    let folder = tempfile::tempdir().unwrap();
    for (right, wrong) in [
        ("healthcheck:", "heathcheck:"),
        ("condition: service_healthy", "condition: healthy"),
        ("internal: true", "internal: [1]"),
    ] {
        let planted = read("compose.yaml").replacen(right, wrong, 1);
        let file = folder.path().join("compose.yaml");
        std::fs::write(&file, planted).unwrap();
        assert!(!fits_the_schema(&file), "{wrong} was not noticed");
    }
}

#[test]
fn compose_refers_only_to_what_it_declares() {
    let declared = |section: &str, name: &str| compose()[section].get(name).is_some();
    for (name, service) in services() {
        for network in texts(&service["networks"]) {
            assert!(declared("networks", network), "{name}: network {network}");
        }
        for secret in texts(&service["secrets"]) {
            assert!(declared("secrets", secret), "{name}: secret {secret}");
        }
        for volume in texts(&service["volumes"]) {
            assert!(
                declared("volumes", volume.split(':').next().unwrap()),
                "{name}: volume {volume}"
            );
        }
        for (dependency, how) in service["depends_on"].as_object().into_iter().flatten() {
            let condition = how["condition"].as_str().unwrap();
            let target = services()
                .get(dependency)
                .unwrap_or_else(|| panic!("{name} depends on {dependency}"));
            let fitting = if is_one_shot(target) {
                "service_completed_successfully"
            } else {
                "service_healthy"
            };
            assert_eq!(condition, fitting, "{name} waits for {dependency}");
        }
        for (variable, value) in service["environment"].as_object().unwrap_or(&Map::new()) {
            let Some(host) = variable.ends_with("__URL").then(|| value.as_str().unwrap()) else {
                continue;
            };
            let host = host.trim_start_matches("http://").split(':').next().unwrap();
            assert!(services().contains_key(host), "{name}: {variable} = {value}");
        }
    }
}

#[test]
fn the_image_has_a_folder_of_its_user_for_every_volume() {
    let image = read("Dockerfile");
    let owned = image
        .lines()
        .find(|line| line.contains("install --directory --owner"))
        .unwrap();
    for (name, service, _) in own_services() {
        for volume in texts(&service["volumes"]) {
            let folder = volume.split(':').nth(1).unwrap();
            assert!(owned.split(' ').any(|word| word == folder), "{name}: {folder}");
        }
    }
    let exports = &services()["query"]["environment"]["HOROLOG_QUERY__EXPORTS__FOLDER"];
    let volumes = texts(&services()["query"]["volumes"]).join(" ");
    assert!(volumes.contains(exports.as_str().unwrap()), "{volumes}");
}

#[test]
fn every_container_is_pinned_bounded_and_watched() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        let tag = image.split_once(':').map_or("", |(_, tag)| tag);
        assert!(tag.starts_with(|c: char| c.is_ascii_digit()), "{name}: {image}");
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(
            limits["cpus"].is_string() && limits["memory"].is_string(),
            "{name} has no limits"
        );
        assert!(
            service["logging"]["options"]["max-size"].is_string(),
            "{name} logs without bound"
        );
        assert_eq!(
            service["healthcheck"]["test"].is_array(),
            !is_one_shot(service),
            "{name}: health check"
        );
    }
}

#[test]
fn ports_are_published_on_loopback_only_and_the_store_not_at_all() {
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
    assert_eq!(texts(&services()["clickhouse"]["networks"]), ["backend"]);
    assert_eq!(compose()["networks"]["backend"]["internal"], true);
}
