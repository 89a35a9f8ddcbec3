//! Checks the data classification of the Avro schemas and turns it into constants.
//!
//! Reads `avro/*.avsc`. Every field must declare its `class`, whether it is `personal` or `health` data, whether to
//! `encrypt` it, and its `owner`; otherwise the build fails and names the field. Writes `field_classes.rs` (the
//! constants behind `horolog_schemas::fields`) and `history.rs` (the superseded schemas of `avro/history/`, with which
//! records in the log may have been written). Reads nothing but `avro/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

const KINDS: [&str; 2] = ["metric_sample", "audit_event"];

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let avro = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("avro");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=avro");

    let mut classes = String::new();
    for kind in KINDS {
        let file = avro.join(format!("{kind}.avsc"));
        let schema = fs::read_to_string(&file)?;
        let constant = field_classes(&schema).map_err(|error| format!("{}: {error}", file.display()))?;
        writeln!(classes, "const {}: &[FieldClass] = &{constant};", kind.to_uppercase())?;
    }
    fs::write(out.join("field_classes.rs"), classes)?;
    fs::write(out.join("history.rs"), history(&avro.join("history"))?)?;
    Ok(())
}

/// The `[FieldClass { … }, …]` of one schema, as Rust.
pub(crate) fn field_classes(schema: &str) -> Result<String, Error> {
    let schema: Value = serde_json::from_str(schema)?;
    let fields = schema["fields"].as_array().ok_or("the schema has no fields")?;
    let mut constant = String::from("[");
    for field in fields {
        let name = field["name"].as_str().ok_or("a field has no name")?;
        let text = |attribute: &str| {
            let value = field[attribute].as_str().filter(|text| !text.is_empty());
            value.ok_or_else(|| format!("field {name} must declare \"{attribute}\" as text"))
        };
        let flag = |attribute: &str| {
            let value = field[attribute].as_bool();
            value.ok_or_else(|| format!("field {name} must declare \"{attribute}\" as true or false"))
        };
        let class =
            match text("class")? {
                "public" => "Public",
                "internal" => "Internal",
                "confidential" => "Confidential",
                "restricted" => "Restricted",
                other => return Err(format!(
                    "field {name} has the class {other}, which is none of public, internal, confidential, restricted"
                )
                .into()),
            };
        let (personal, health, encrypt, owner) = (flag("personal")?, flag("health")?, flag("encrypt")?, text("owner")?);
        if health && !(encrypt && class == "Restricted") {
            return Err(format!("field {name} may hold health data: it must be restricted and encrypted").into());
        }
        write!(
            constant,
            "FieldClass {{ name: {name:?}, class: Class::{class}, personal: {personal}, health: {health}, \
             encrypt: {encrypt}, owner: {owner:?} }}, "
        )?;
    }
    constant.push(']');
    Ok(constant)
}

/// `(kind, schema)` of every `avro/history/<kind>.<version>.avsc`, as Rust, ordered by file name.
fn history(folder: &Path) -> Result<String, Error> {
    let mut files = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    files.sort();
    let mut constant = String::from("&[");
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = KINDS
            .iter()
            .find(|kind| name.strip_prefix(**kind).is_some_and(|rest| rest.starts_with('.')));
        let kind = kind.ok_or_else(|| format!("{}: must be named <kind>.<version>.avsc", file.display()))?;
        write!(constant, "({kind:?}, include_str!({file:?})), ")?;
    }
    constant.push(']');
    Ok(constant)
}
