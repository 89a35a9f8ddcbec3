//! Reports which export this is, and whether it is the one that its reader expects: another export put in its place is
//! just as valid, and signed with the same key.
//!
//! Enters: a manifest, and the name of the folder. Leaves: what the manifest says of the export, for a person to
//! compare, and a claim if the folder is named after an export. Pure.

use uuid::Uuid;

use super::Report;
use crate::audit::exports::manifest::Manifest;

/// Prefix of the folders that `exports download` creates, before the id.
const DOWNLOADED: &str = "export-";

/// Adds what the export is, and whether it is the one that its folder is named after.
pub fn check(report: &mut Report, manifest: &Manifest, folder: Option<&str>) {
    report.about = vec![
        format!("id: {}", manifest.export_id),
        format!("tenant: {:?}", manifest.tenant_id),
        format!("filter: {}", filter(manifest)),
        format!("requested by: {:?}", manifest.requested_by),
        format!("requested at: {:?}", manifest.requested_at),
    ];
    match folder.and_then(id_of) {
        Some(id) => report.claim(
            id == manifest.export_id,
            "the folder is named after this export",
            || {
                format!(
                    "the manifest is of the export {}, but the folder is named after {id}",
                    manifest.export_id
                )
            },
        ),
        None => report
            .noted
            .push("the folder is not named after an export: check by its id that this is the one you mean".to_owned()),
    }
}

fn filter(manifest: &Manifest) -> String {
    let filters: Vec<String> = manifest
        .filter
        .iter()
        .map(|(name, value)| format!("{name:?} = {value:?}"))
        .collect();
    match filters.is_empty() {
        true => "none".to_owned(),
        false => filters.join(", "),
    }
}

/// The export that a folder is named after.
fn id_of(folder: &str) -> Option<Uuid> {
    folder.strip_prefix(DOWNLOADED).unwrap_or(folder).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_after_an_export_as_the_service_or_a_download_names_it() {
        let id = "3f0e5b5c-6a51-4c2e-9d0b-0c6f3f3c9a11";
        assert_eq!(id_of(id), id.parse().ok());
        assert_eq!(id_of(&format!("export-{id}")), id.parse().ok());
        assert_eq!(id_of("audit of 2026"), None);
    }
}
