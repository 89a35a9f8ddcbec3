//! A metric sample as JSON.
//!
//! Enters: an object with the fields of the Avro schema, and the flags. Leaves: a sample. Pure.

use std::collections::BTreeMap;

use horolog_schemas::{MetricSample, MetricType};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{or_empty, or_flag, texts, with_place};
use crate::import::json_fields::{Text, read};
use crate::import::json_text::text;
use crate::import::mapping::Mapping;
use crate::import::output::{Skip, excerpt};
use crate::import::timestamp::time_of;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
struct MetricLine<'a> {
    tenant_id: Option<Text>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    metric_name: Option<Text>,
    metric_type: Option<MetricType>,
    service_id: Option<Text>,
    plugin_id: Option<Text>,
    user_id: Option<Text>,
    team_id: Option<Text>,
    environment: Option<Text>,
    value: Option<&'a RawValue>,
    unit: Option<Text>,
    labels: Option<BTreeMap<String, &'a RawValue>>,
}

/// Reads one sample.
pub(super) fn sample(json: &str, mapping: &Mapping) -> Result<MetricSample, Skip> {
    let line: MetricLine<'_> = read(json).map_err(|skip| with_place(skip, "labels"))?;
    let value = text(line.value);
    Ok(MetricSample {
        tenant_id: or_flag(line.tenant_id, Some(&mapping.tenant)),
        time: time_of("time", &text(line.time), &mapping.times)?,
        metric_name: line.metric_name.ok_or_else(|| Skip::missing("metric_name"))?.into(),
        metric_type: line.metric_type.unwrap_or(mapping.metric_type.into()),
        service_id: or_flag(line.service_id, mapping.service.as_ref()),
        plugin_id: or_empty(line.plugin_id),
        user_id: or_empty(line.user_id),
        team_id: or_empty(line.team_id),
        environment: or_flag(line.environment, Some(&mapping.environment)),
        value: match value.as_str() {
            "" => return Err(Skip::missing("value")),
            // JSON has no other way to write NaN and infinities than as text.
            number => number.trim().parse().map_err(|_| Skip::Number {
                column: "value".to_owned(),
                text: excerpt(number),
            })?,
        },
        unit: or_flag(line.unit, mapping.unit.as_ref()),
        labels: texts(line.labels),
    })
}
