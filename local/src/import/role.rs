//! Which field of a sample a column of a CSV file fills, by its name and what it holds.
//!
//! Enters: the name of a column, its content, the flags of the command. Leaves: the field, and a sample with its text.
//! Pure.

use horolog_schemas::MetricSample;

use super::content::Content;
use super::mapping::{ImportedType, Mapping};
use super::output::{Skip, excerpt};

/// Names of a service column, compared without `_`, `-` and spaces.
const SERVICE_NAMES: [&str; 6] = [
    "podname",
    "pod",
    "servicename",
    "service",
    "serviceid",
    "serviceinstance",
];

/// Which field of a sample a text column fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The tenant it belongs to.
    Tenant,
    /// What was measured.
    Metric,
    /// Counter, gauge or histogram.
    Type,
    /// The service that emitted it.
    Service,
    /// The plugin inside the service.
    Plugin,
    /// The user on whose behalf.
    User,
    /// The team of the service.
    Team,
    /// production, staging, …
    Environment,
    /// The unit of the value.
    Unit,
}

impl Role {
    /// The role of a column with this name, if it is the name of one of our fields or a usual alias.
    pub fn of(cell: &str) -> Option<Self> {
        Some(match bare(cell).as_str() {
            "tenant" | "tenantid" => Self::Tenant,
            "metric" | "metricname" => Self::Metric,
            // Prometheus's name for it; a plain `name` could be the name of anything.
            _ if cell == "__name__" => Self::Metric,
            "metrictype" | "type" => Self::Type,
            "plugin" | "pluginid" => Self::Plugin,
            "user" | "userid" => Self::User,
            "team" | "teamid" => Self::Team,
            "environment" | "env" => Self::Environment,
            "unit" => Self::Unit,
            name if SERVICE_NAMES.contains(&name) => Self::Service,
            _ => return None,
        })
    }

    /// Which field a column fills in all samples of its line, in a file with many series. A column of numbers may be a
    /// series instead: `user` is also a share of CPU time, and may be a service. Names may be whole numbers, but no
    /// others.
    pub fn of_line(cell: &str, content: Content) -> Option<Self> {
        Self::of(cell).filter(|role| match role {
            _ if content == Content::Numbers => false,
            Self::Tenant | Self::Environment => true,
            Self::Plugin | Self::User | Self::Team => content == Content::Text || bare(cell).ends_with("id"),
            Self::Metric | Self::Type | Self::Service | Self::Unit => false,
        })
    }

    /// Whether a flag sets it for all lines. The flags for tenant and environment apply only to lines that name none.
    pub fn is_said(self, mapping: &Mapping) -> bool {
        match self {
            Self::Metric => mapping.metric.is_some(),
            Self::Service => mapping.service.is_some(),
            Self::Unit => mapping.unit.is_some(),
            Self::Tenant | Self::Environment | Self::Type | Self::Plugin | Self::User | Self::Team => false,
        }
    }

    /// The field that it fills; `None` for the type, which is not text.
    pub fn field(self, sample: &mut MetricSample) -> Option<&mut String> {
        Some(match self {
            Self::Type => return None,
            Self::Metric => &mut sample.metric_name,
            Self::Service => &mut sample.service_id,
            Self::Unit => &mut sample.unit,
            Self::Environment => &mut sample.environment,
            Self::Tenant => &mut sample.tenant_id,
            Self::Plugin => &mut sample.plugin_id,
            Self::User => &mut sample.user_id,
            Self::Team => &mut sample.team_id,
        })
    }

    /// Fills its field with the text of a cell.
    pub fn fill(self, sample: &mut MetricSample, text: &str) -> Result<(), Skip> {
        if let Some(field) = self.field(sample) {
            text.clone_into(field);
            return Ok(());
        }
        let known = ImportedType::read(text);
        sample.metric_type = known.ok_or_else(|| Skip::MetricType { text: excerpt(text) })?.into();
        Ok(())
    }
}

/// Gives a column its role. Of two columns with the same role the first gets it; the other (`false`) keeps its own
/// name.
pub fn claim(roles: &mut Vec<(usize, Role)>, cell: usize, role: Role) -> bool {
    let is_free = roles.iter().all(|(_, taken)| *taken != role);
    if is_free {
        roles.push((cell, role));
    }
    is_free
}

fn bare(cell: &str) -> String {
    cell.replace(['_', '-', ' '], "").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::delimiter::COMMA;
    use crate::import::header::Header;
    use crate::import::numbers::Numbers;

    #[test]
    fn the_name_of_prometheus_is_the_metric_and_any_other_name_is_not() {
        assert_eq!(Role::of("__name__"), Some(Role::Metric));
        assert_eq!(Role::of("name"), None);
        assert_eq!(Role::of("_name_"), None);
    }

    #[test]
    fn names_of_which_one_reads_like_a_number_are_names() {
        let contents = |cell: &str| {
            Header::new("tenant", COMMA).contents(["acme", cell, "globex"].into_iter(), Numbers::default())[0]
        };
        for cell in ["-1", "12345e67", "7"] {
            assert_eq!(Role::of_line("tenant", contents(cell)), Some(Role::Tenant));
            assert_eq!(Role::of_line("user_id", contents(cell)), Some(Role::User));
        }
    }
}
