//! Filters and spans as arguments. Enters: arguments. Leaves: parameters of the API, which validates them.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use clap::{Arg, Args, ValueEnum};

use super::client::Parameters;
use crate::audit::filter::{Source, Status};

/// A span of time.
#[derive(Debug, Clone, Default, Args)]
pub struct SpanArgs {
    /// Start of the span, inclusive: RFC 3339, a date, or seconds since 1970
    #[arg(long, conflicts_with = "last")]
    pub from: Option<String>,
    /// End of the span, exclusive
    #[arg(long, conflicts_with = "last")]
    pub to: Option<String>,
    /// Span that ends now: 90m, 24h, 30d, 12w
    #[arg(long, value_parser = parse_span, value_name = "SPAN")]
    pub last: Option<Duration>,
}

impl SpanArgs {
    /// Whether any of them was given.
    pub fn is_given(&self) -> bool {
        self.from.is_some() || self.to.is_some() || self.last.is_some()
    }

    /// As parameters; `now` is the end of `--last`.
    pub fn parameters(&self, now: DateTime<Utc>) -> Parameters {
        let last = self
            .last
            .map(|last| (now - last).to_rfc3339_opts(SecondsFormat::Secs, true));
        let from = self.from.clone().or(last).map(|from| ("from", from));
        from.into_iter().chain(self.to.clone().map(|to| ("to", to))).collect()
    }
}

/// Adds to the help of `--from` where a command's span begins by default.
pub fn begins(default: &'static str) -> impl FnOnce(Arg) -> Arg {
    move |from| {
        let help = from.get_help().map(ToString::to_string).unwrap_or_default();
        from.help(format!("{help} [default: {default}]"))
    }
}

/// Filters of audit events.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct EventFilterArgs {
    /// Id of the user who acted
    #[arg(long)]
    pub user: Option<String>,
    /// Action, by its whole name: user.sign_in
    #[arg(long)]
    pub action: Option<String>,
    /// Type of the resource
    #[arg(long)]
    pub resource_type: Option<String>,
    /// Id of the resource
    #[arg(long)]
    pub resource: Option<String>,
    /// Outcome
    #[arg(long)]
    pub status: Option<Status>,
    /// Origin of the action
    #[arg(long)]
    pub source: Option<Source>,
    /// Words that have to be in the name of the resource or the error message, in any case
    #[arg(long)]
    pub text: Option<String>,
    /// IP address, or a network such as 10.0.0.0/8
    #[arg(long)]
    pub ip: Option<String>,
    /// Id of the service
    #[arg(long)]
    pub service: Option<String>,
    /// Id of the team
    #[arg(long)]
    pub team: Option<String>,
    /// Id of the plugin
    #[arg(long)]
    pub plugin: Option<String>,
    /// Id of the session
    #[arg(long)]
    pub session: Option<String>,
    /// Id of the request
    #[arg(long)]
    pub request: Option<String>,
    /// Id of the event
    #[arg(long)]
    pub event: Option<String>,
    #[command(flatten)]
    pub(super) span: SpanArgs,
}

impl EventFilterArgs {
    /// As parameters.
    pub fn parameters(&self, now: DateTime<Utc>) -> Parameters {
        let given = [
            ("user_id", self.user.clone()),
            ("action", self.action.clone()),
            ("resource_type", self.resource_type.clone()),
            ("resource_id", self.resource.clone()),
            ("status", self.status.map(name)),
            ("source", self.source.map(name)),
            ("text", self.text.clone()),
            ("ip_address", self.ip.clone()),
            ("service_id", self.service.clone()),
            ("team_id", self.team.clone()),
            ("plugin_id", self.plugin.clone()),
            ("session_id", self.session.clone()),
            ("request_id", self.request.clone()),
            ("event_id", self.event.clone()),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.chain(self.span.parameters(now)).collect()
    }
}

/// The name of a choice on the command line, which is its name in the API.
pub fn name(choice: impl ValueEnum) -> String {
    choice
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

fn parse_span(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and one of m, h, d, w: 90m, 24h, 30d".to_owned();
    let (digits, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(expected)?;
    let number: u32 = digits.parse().map_err(|_| expected())?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        "w" => 7 * 24 * 60,
        _ => return Err(expected()),
    };
    let span = Duration::try_minutes(i64::from(number) * minutes).ok_or_else(expected)?;
    // Further back than any record; even more would exceed the calendar.
    if span.is_zero() || span > Duration::days(36_500) {
        return Err("expected more than zero and at most 100 years".to_owned());
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::audit::counts::Bucket;
    use crate::audit::exports::spec::{Compression, Format};

    fn is_spelt_as_in_json<Choice: ValueEnum + Serialize>() {
        for choice in Choice::value_variants() {
            assert_eq!(serde_json::to_value(choice).unwrap(), name(choice.clone()));
        }
    }

    #[test]
    fn choices_are_spelt_as_the_api_spells_them() {
        is_spelt_as_in_json::<Status>();
        is_spelt_as_in_json::<Source>();
        is_spelt_as_in_json::<Format>();
        is_spelt_as_in_json::<Compression>();
        is_spelt_as_in_json::<Bucket>();
    }

    #[test]
    fn the_last_so_much_becomes_a_moment() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let span = |text| SpanArgs {
            last: Some(parse_span(text).unwrap()),
            ..SpanArgs::default()
        };
        assert_eq!(
            span("36h").parameters(now),
            [("from", "2026-02-28T00:00:00Z".to_owned())]
        );
        assert_eq!(
            span("2w").parameters(now),
            [("from", "2026-02-15T12:00:00Z".to_owned())]
        );
        for text in ["", "7", "d", "1y", "-1d", "0h", "99999999w", "ü", "1é"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn filters_become_what_the_api_calls_them() {
        let filter = EventFilterArgs {
            user: Some("ann".into()),
            status: Some(Status::Failure),
            ..Default::default()
        };
        assert_eq!(
            filter.parameters(Utc::now()),
            [("user_id", "ann".to_owned()), ("status", "failure".to_owned())]
        );
    }
}
