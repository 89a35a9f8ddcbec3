//! Which audit events of a tenant: the filters that search, counts and exports share.
//!
//! Enters: texts by parameter. Leaves: [`Conditions`] with bound values for a [`TenantSelect`], and a canonical form
//! that is equal for equal questions, for cursors, export jobs and manifests. Pure.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::Problem;
use crate::api::instant::{Instant, Span};
use crate::audit::network::Network;
use crate::store::{Parameter, Sql, TenantSelect};

/// Filters of audit events. An empty value matches events whose column is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct EventFilter {
    /// The user who acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The team of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// The service that reported the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// The plugin inside the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_id: Option<String>,
    /// Where the action came from.
    #[param(value_type = Option<Source>)]
    #[schema(value_type = Option<Source>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The type of the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// The resource that the action was applied to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// IP address of the client: an address (10.1.2.3, 2001:db8::1), a block (10.0.0.0/8), or a host name as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// Session of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The request; events of several services may share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The outcome.
    #[param(value_type = Option<Status>)]
    #[schema(value_type = Option<Status>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Id of the event.
    #[param(value_type = Option<Uuid>)]
    #[schema(value_type = Option<Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Words that occur in resource_name or error_message, in any order and regardless of case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Start of the span, inclusive.
    #[param(value_type = Option<Instant>)]
    #[schema(value_type = Option<Instant>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// End of the span, exclusive.
    #[param(value_type = Option<Instant>)]
    #[schema(value_type = Option<Instant>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The outcome of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Succeeded.
    Success,
    /// Denied.
    Failure,
    /// Attempted, but failed.
    Error,
}

/// Where an action came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person in a user interface.
    Ui,
    /// A call of the API.
    Api,
    /// The system itself.
    System,
    /// A webhook.
    Webhook,
}

/// Columns that are compared for equality.
const EQUALS: [&str; 12] = [
    "user_id",
    "team_id",
    "service_id",
    "plugin_id",
    "action",
    "resource_type",
    "resource_id",
    "session_id",
    "request_id",
    "event_id",
    "status",
    "source",
];
/// A value that is not an address (a host name) is in no range. Both are IPv6, with IPv4 mapped, so that one comparison
/// is enough.
const IN_NETWORK: &str = "(r.ip_address = {ip_address:String} or \
    ifNull(toIPv6OrNull(r.ip_address) >= toIPv6({ip_first:String}) and toIPv6OrNull(r.ip_address) <= toIPv6({ip_last:String}), 0))";
/// The expression must equal that of the table's index `words`; see its migration.
const HAS_WORDS: &str = "hasAllTokens(lower(concat(r.resource_name, ' ', r.error_message)), {words:Array(String)})";
/// The same for words with letters beyond ASCII, which the index holds only in the recorded case; it is evaluated without
/// the index. A sigma is small in two ways: which one `lowerUTF8` makes depends on what stands behind the word.
const HAS_WORDS_BEYOND_ASCII: &str = "(hasAllTokens(lower(concat(r.resource_name, ' ', r.error_message)), {words_beyond:Array(String)}) or \
    hasAllTokens(replaceAll(lowerUTF8(concat(r.resource_name, ' ', r.error_message)), 'ς', 'σ'), {words_folded:Array(String)}))";
const FROM: &str = "r.occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')";
const TO: &str = "r.occurred_at < fromUnixTimestamp64Micro({to:Int64}, 'UTC')";
/// Maximum words of a free-text search; more would be pasted text.
const WORDS_MAX: usize = 16;

/// A validated filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    texts: BTreeMap<String, String>,
    network: Option<Network>,
    words: Vec<String>,
    span: Span,
}

impl EventFilter {
    /// From the members of a JSON object, which must all be known.
    pub fn from_members(members: BTreeMap<String, String>) -> Result<Self, Problem> {
        let known = Self::into_params(|| None);
        if let Some(name) = members
            .keys()
            .find(|&name| known.iter().all(|parameter| parameter.name != *name))
        {
            return Err(Problem::parameter(&format!("filter.{name}"), "there is no such filter"));
        }
        let members = serde_json::to_value(members).and_then(serde_json::from_value);
        members.map_err(|_| Problem::Internal)
    }

    /// The values that are given, by name.
    fn members(&self) -> BTreeMap<String, String> {
        serde_json::to_value(self)
            .and_then(serde_json::from_value)
            .unwrap_or_default()
    }

    /// Validates every value.
    pub fn conditions(&self) -> Result<Conditions, Problem> {
        one_of::<Status>("status", self.status.as_deref())?;
        one_of::<Source>("source", self.source.as_deref())?;
        let mut texts = self.members();
        if let Some(text) = texts.get_mut("event_id") {
            let id: Uuid = text
                .parse()
                .map_err(|_| Problem::parameter("event_id", "expected a UUID"))?;
            *text = id.to_string();
        }
        let words = self.text.as_deref().map(words).unwrap_or_default();
        if self.text.is_some() && !(1..=WORDS_MAX).contains(&words.len()) {
            return Err(Problem::parameter(
                "text",
                format!("expected one to {WORDS_MAX} words of letters and digits"),
            ));
        }
        let span = Span::new(
            instant("from", self.from.as_deref())?,
            instant("to", self.to.as_deref())?,
        )?;
        for (name, end) in [("from", span.from), ("to", span.to)] {
            if let Some(end) = end {
                texts.insert(name.to_owned(), end.to_rfc3339());
            }
        }
        Ok(Conditions {
            network: network(self.ip_address.as_deref())?,
            texts,
            words,
            span,
        })
    }
}

/// Checks that a text, if given, is one of the choices.
fn one_of<Choice: ValueEnum>(name: &str, text: Option<&str>) -> Result<(), Problem> {
    let choices = Choice::value_variants().iter();
    let choices: Vec<_> = choices.filter_map(ValueEnum::to_possible_value).collect();
    let allowed: Vec<_> = choices.iter().map(|choice| choice.get_name()).collect();
    match text {
        Some(text) if !allowed.contains(&text) => Err(Problem::parameter(
            name,
            format!("expected one of {}", allowed.join(", ")),
        )),
        _ => Ok(()),
    }
}

fn instant(name: &str, text: Option<&str>) -> Result<Option<Instant>, Problem> {
    let parse = |text| Instant::parse(text).map_err(|error| Problem::parameter(name, error));
    text.map(parse).transpose()
}

/// An address or block is a range; any other text (a host name, or an empty one) is compared for equality.
fn network(text: Option<&str>) -> Result<Option<Network>, Problem> {
    let address = text.filter(|text| text.contains('/') || text.parse::<std::net::IpAddr>().is_ok());
    let network = address.map(Network::parse).transpose();
    network.map_err(|error| Problem::parameter("ip_address", error))
}

impl Conditions {
    /// The given values by parameter; equal for equal questions.
    pub fn canonical(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// Whether it matches every event.
    pub fn is_everything(&self) -> bool {
        self.texts.is_empty()
    }

    /// The span of time of the events that match.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The same filter for a part of its span.
    pub fn within(&self, span: Span) -> Self {
        Self { span, ..self.clone() }
    }

    /// Restricts the statement to events that match.
    pub fn apply(&self, mut select: TenantSelect) -> TenantSelect {
        let text = |name: &str| self.texts.get(name).cloned().map(Parameter::Text);
        let bound = |end: Option<Instant>| end.map(|end| Parameter::Integer(end.datetime64_bound()));
        for column in EQUALS {
            let form = if column == "event_id" { ":UUID}" } else { ":String}" };
            let equals = Sql::concat(["r.", column, " = {", column, form]);
            select = select.and_if(equals, column, text(column));
        }
        select = select
            .and_if(FROM, "from", bound(self.span.from))
            .and_if(TO, "to", bound(self.span.to));
        let (ascii, beyond): (Vec<String>, Vec<String>) = self.words.iter().cloned().partition(|word| word.is_ascii());
        if !ascii.is_empty() {
            select = select.and(HAS_WORDS).bind("words", Parameter::Texts(ascii));
        }
        if !beyond.is_empty() {
            let folded = beyond.iter().map(|word| folded(word)).collect();
            select = select
                .and(HAS_WORDS_BEYOND_ASCII)
                .bind("words_beyond", Parameter::Texts(beyond))
                .bind("words_folded", Parameter::Texts(folded));
        }
        match self.network {
            Some(network) => select
                .and_if(IN_NETWORK, "ip_address", text("ip_address"))
                .bind("ip_first", Parameter::Text(network.first().to_string()))
                .bind("ip_last", Parameter::Text(network.last().to_string())),
            None => select.and_if("r.ip_address = {ip_address:String}", "ip_address", text("ip_address")),
        }
    }
}

/// The words of a text as the index splits them: runs of letters and digits, in lower case as the engine's `lower`
/// makes it (ASCII only); every character beyond ASCII is part of a word.
fn words(text: &str) -> Vec<String> {
    let splits = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
    let words = text.split(splits).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect()
}

/// A word as [`HAS_WORDS_BEYOND_ASCII`] compares it.
fn folded(word: &str) -> String {
    word.to_lowercase().replace('ς', "σ")
}

#[cfg(test)]
mod tests {
    use horolog_schemas::{AuditSource, AuditStatus};
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    /// The choices in the API description and on the command line are those that a filter accepts.
    fn choices<Choice: PartialSchema + ValueEnum>() -> serde_json::Value {
        let described = serde_json::to_value(Choice::schema()).unwrap()["enum"].take();
        let offered = Choice::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        assert_eq!(
            described,
            json!(offered.map(|choice| choice.get_name().to_owned()).collect::<Vec<_>>())
        );
        described
    }

    #[test]
    fn sources_and_statuses_are_those_of_the_records() {
        assert_eq!(choices::<Source>(), json!(AuditSource::ALL.map(AuditSource::as_str)));
        assert_eq!(choices::<Status>(), json!(AuditStatus::ALL.map(AuditStatus::as_str)));
    }

    #[test]
    fn both_small_sigmas_are_one_letter() {
        for word in ["ΟΔΟΣ", "οδος", "οδοσ"] {
            assert_eq!(folded(word), "οδοσ");
        }
    }
}
