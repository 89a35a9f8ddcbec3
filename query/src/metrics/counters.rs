//! `GET /v1/metrics/counters/hourly`, `/daily`, `/monthly`: increase and rate of counters.
//!
//! Enters: the computed hours of `counter_hourly` by series, each in its newest revision, or the newest as of a moment.
//! Leaves: rows in the order and format of `/v1/metrics/hourly`. An increase accounts for resets and for the sample
//! before the hour, so it needs whole series; hours are computed once they are complete, and `complete_through` says
//! how far that is.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::formats::Format;
use crate::api::{Asked, Instant, Problem, RequestId};
use crate::handler::{Api, Asking};
use crate::metrics::completeness::Completeness;
use crate::metrics::merging;
use crate::metrics::page::stored;
use crate::metrics::point::StoredPoint;
use crate::metrics::selection::{HourColumn, KEY, Selection, SelectionParameters};
use crate::metrics::series::{Known, SeriesAnswer, respond};
use crate::metrics::step::Step;
use crate::metrics::written::PointNames;
use crate::store::{Parameter, Relation, Sql, TenantSelect};

const HOUR_S: f64 = 3_600.0;
/// The last moment of `DateTime64(3)`, by which everything is known. Milliseconds since 1970.
const EVER_MS: i64 = 10_413_791_999_000;

const NUMBERS: &str = ", sum(r.samples) as count, sum(r.resets) as resets, sum(r.increase) as increase, \
    toFloat64(toUnixTimestamp(max(r.hour)) + 3600) as computed_until";
const ROW: &str = ", [toUInt64(i.count), toUInt64(i.resets)] as counts, [i.increase, i.computed_until] as numbers";

/// Whether each hour was decided by then. An hour that could not be computed, which is revision 0 of 0 samples, was
/// not.
const DECIDED: &str = "r.hour as hour, countIf(r.decided_at <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC') \
    and (r.revision > 0 or r.hourly_samples > 0)) > 0 as was_decided";
/// The end of the hours decided by then: the end of the last of them, or the start of the first one decided later,
/// whichever is earlier.
const THROUGH_THEN: &str = "toUInt32(if(max(i.was_decided) = 0, 0, least(\
    maxIf(toUnixTimestamp(i.hour), i.was_decided) + 3600, \
    if(min(i.was_decided) = 1, toUInt32(-1), minIf(toUnixTimestamp(i.hour), not i.was_decided))))) as through";

/// Whether an hour of the caller could not be computed.
const FAILED: &str = "r.hour as hour, argMax((r.revision, r.hourly_samples), r.decided_at) = (0, 0) as has_failed";
/// The first such hour; 0 if there is none.
const FAILED_FROM: &str = "toUInt32(minIf(toUnixTimestamp(i.hour), i.has_failed)) as through";

/// Hours before this are computed, except those that failed. Written by the upkeep of the aggregate stage.
const THROUGH_SQL: &str = "select toUnixTimestamp(argMax(u.through, u.inserted_at)) as through from upkeep_progress as u \
    where u.task = 'counters' and u.kafka_topic = {topic:String}";

#[derive(Debug, Row, Deserialize)]
struct Through {
    through: u32,
}

/// An hour, day or month of a counter. Columns that were merged over are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct CounterPoint {
    /// Start of the row.
    start: Instant,
    /// End of the row.
    end: Instant,
    /// Whether all its hours are computed; late samples may still change them.
    complete: bool,
    /// Metric.
    metric_name: String,
    /// Service.
    #[schema(required = false)]
    service_id: String,
    /// Plugin.
    #[schema(required = false)]
    plugin_id: String,
    /// Environment.
    #[schema(required = false)]
    environment: String,
    /// Team.
    #[schema(required = false)]
    team_id: String,
    /// Always `counter`.
    metric_type: String,
    /// Unit.
    unit: String,
    /// Number of samples.
    count: u64,
    /// How often a series fell, which counts as a reset to zero.
    resets: u64,
    /// Sum of all increases between consecutive samples, starting with the last sample before the row, over all series;
    /// `null` if it exceeds the range of a double.
    increase: Option<f64>,
    /// Increase per second, over the row or the part of it that is computed.
    rate: Option<f64>,
}

/// Increase and rate of counters by hour.
///
/// Order: metric, start, then the columns that are not merged over.
#[utoipa::path(
    get, path = "/v1/metrics/counters/hourly", tag = "metrics", params(SelectionParameters),
    responses((status = 200, description = "A page of hours.", content(
        (SeriesAnswer<CounterPoint> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn hourly(asking: Asking, Asked(asked): Asked<SelectionParameters>) -> Result<Response, Problem> {
    answer(asking, Step::Hour, asked).await
}

/// Increase and rate of counters by day of a time zone.
#[utoipa::path(
    get, path = "/v1/metrics/counters/daily", tag = "metrics", params(SelectionParameters),
    responses((status = 200, description = "A page of days.", content(
        (SeriesAnswer<CounterPoint> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn daily(asking: Asking, Asked(asked): Asked<SelectionParameters>) -> Result<Response, Problem> {
    answer(asking, Step::Day, asked).await
}

/// Increase and rate of counters by month of a time zone.
#[utoipa::path(
    get, path = "/v1/metrics/counters/monthly", tag = "metrics", params(SelectionParameters),
    responses((status = 200, description = "A page of months.", content(
        (SeriesAnswer<CounterPoint> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn monthly(asking: Asking, Asked(asked): Asked<SelectionParameters>) -> Result<Response, Problem> {
    answer(asking, Step::Month, asked).await
}

async fn answer(asking: Asking, step: Step, asked: SelectionParameters) -> Result<Response, Problem> {
    let Asking {
        api,
        caller,
        request,
        headers,
    } = asking;
    let _admitted = api.admit(caller.principal()).await?;
    let resource = format!("/v1/metrics/counters/{}", step.name());
    let selection = Selection::new(&api.gate.cursor_key, caller, step, asked.clone(), (&resource, &asked))?;
    let format = Format::negotiate(selection.parameters.format, &headers)?;
    let completeness = completeness(&api, &request, &selection).await?;
    let (mut points, next_cursor) = stored::<StoredPoint>(&api, &request, &selection, select(&selection)).await?;
    points.change_numbers(|start, numbers| {
        let end = selection.steps.end_of(start);
        rate(numbers, start, end, completeness.through);
    });
    let names = PointNames {
        groups: selection.group_names(),
        counts: &["count", "resets"],
        numbers: vec!["increase", "rate"],
    };
    let known = Known {
        completeness,
        in_motion: Vec::new(),
    };
    respond(&selection, known, (points.into(), next_cursor), &names, format)
}

/// The rows of the page, and one more if others follow.
fn select(selection: &Selection) -> TenantSelect {
    let known_at = selection
        .as_of()
        .map_or(EVER_MS, |as_of| as_of.micros().div_euclid(1_000));
    let columns = merging::key_columns(&selection.steps, HourColumn::OF_HOURS.hour, &selection.groups).then(NUMBERS);
    let hours = TenantSelect::new(&selection.caller, Relation::CounterHours, columns)
        .bind("known_at", Parameter::Text(datetime64(known_at)));
    let merged = selection
        .within(hours, HourColumn::OF_HOURS, None)
        .then(Sql::from("group by ").then(merging::key_names(&selection.groups)));
    let row = merging::cursor_key("i", "i.start".into(), &selection.groups).then(ROW);
    merged.outer(row).then(Sql::concat(["order by ", KEY]))
}

/// Through when counters are computed: no later than the topic is complete, than the upkeep has computed, and than the
/// first of the caller's hours that failed. As of a moment, the first of their hours not decided by then takes the
/// place of the failed one, and the topic's completeness is what data that came after the moment proves. The result is
/// never later than what was computed then, and may be earlier; only the topic's part may be later than what was
/// reported then.
async fn completeness(api: &Api, request: &RequestId, selection: &Selection) -> Result<Completeness, Problem> {
    let topic = &api.config.source.metrics_topic;
    let mut completeness = Completeness::of(&api.store.progress(request, topic, selection.as_of()).await?);
    let topic = Parameter::Text(topic.clone());
    let parameters = [("topic", topic.clone())];
    let now: Option<Through> = api.store.log_rows(request, THROUGH_SQL, &parameters).await?.pop();
    let mut computed = now.map_or(0, |row| row.through);
    let decisions = |columns| {
        TenantSelect::new(&selection.caller, Relation::CounterDecisions, columns)
            .and("r.kafka_topic = {topic:String}")
            .bind("topic", topic)
    };
    if let Some(as_of) = selection.as_of() {
        let decided = decisions(DECIDED)
            .bind("as_of", Parameter::Integer(as_of.datetime64_bound()))
            .then("group by hour")
            .outer(THROUGH_THEN);
        let then: Option<Through> = api.store.first(request, &decided).await?;
        computed = computed.min(then.map_or(0, |row| row.through));
    } else {
        let failed = decisions(FAILED).then("group by hour").outer(FAILED_FROM);
        let failed: Option<Through> = api.store.first(request, &failed).await?;
        let failed = failed.map(|row| row.through).filter(|&hour| hour > 0);
        computed = computed.min(failed.unwrap_or(u32::MAX));
    }
    completeness.limit((computed > 0).then(|| Instant::from_seconds(computed)));
    Ok(completeness)
}

/// Converts the increase and the end of the last computed hour to increase and rate.
fn rate(numbers: &mut [f64], start: Instant, end: Instant, through: Option<Instant>) {
    let [increase, computed_until] = numbers else { return };
    let seconds = |moment: Instant| moment.micros() as f64 / 1e6;
    let computed = through.map_or(*computed_until, |through| seconds(through).max(*computed_until));
    let length_s = computed.min(seconds(end)) - seconds(start);
    *computed_until = *increase / length_s.max(HOUR_S);
}

/// A moment as text for the engine.
fn datetime64(millis: i64) -> String {
    let moment = chrono::DateTime::from_timestamp_millis(millis.clamp(0, EVER_MS)).unwrap_or_default();
    moment.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    fn rate_of(computed_until: &str, through: Option<&str>) -> f64 {
        let (start, end) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        let mut numbers = [86_400.0, at(computed_until).micros() as f64 / 1e6];
        rate(&mut numbers, start, end, through.map(at));
        numbers[1]
    }

    #[test]
    fn a_rate_is_over_what_is_computed_of_the_row() {
        assert_eq!(
            rate_of("2026-01-01T06:00:00Z", Some("2026-01-03T00:00:00Z")),
            1.0,
            "a whole day"
        );
        assert_eq!(
            rate_of("2026-01-01T06:00:00Z", Some("2026-01-01T12:00:00Z")),
            2.0,
            "half of it"
        );
        assert_eq!(
            rate_of("2026-01-01T06:00:00Z", Some("2026-01-01T03:00:00Z")),
            4.0,
            "more than is said to be"
        );
        assert_eq!(rate_of("2026-01-01T06:00:00Z", None), 4.0);
    }
}
