//! The audit events of the made-up company.
//!
//! Enters: a seed, then a time for each event. Leaves: sign-ins and refused ones, changes of roles and settings with
//! JSON before and after, keys, exports, calls of webhooks. Changes are consistent: each new value is the old value of
//! the next change. The same seed and times give the same events. No clock, no I/O.

use std::collections::BTreeSet;

use horolog_schemas::{AuditEvent, AuditSource, AuditStatus};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use uuid::Uuid;

use super::world::{PEOPLE, ROLES, SERVICES};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// Share of sign-ins with a wrong password.
const WRONG_PASSWORD_SHARE: f64 = 0.08;
/// Share of other actions that are refused, and that break.
const REFUSED_SHARE: f64 = 0.03;
const BROKEN_SHARE: f64 = 0.01;

/// How often each action happens, in percent.
const ACTIONS: [(u32, Action); 7] = [
    (40, Action::SignIn),
    (12, Action::SignOut),
    (14, Action::ChangeRoles),
    (10, Action::ChangeRetention),
    (10, Action::CreateKey),
    (8, Action::Export),
    (6, Action::Webhook),
];

#[derive(Clone, Copy)]
enum Action {
    SignIn,
    SignOut,
    ChangeRoles,
    ChangeRetention,
    CreateKey,
    Export,
    Webhook,
}

/// An endless stream of events.
pub struct AuditStream {
    tenant: String,
    random: StdRng,
    people: Vec<Person>,
    retention_days: [u32; SERVICES.len()],
}

struct Person {
    id: &'static str,
    team: &'static str,
    address: String,
    session: String,
    roles: BTreeSet<&'static str>,
}

impl AuditStream {
    /// A stream of its own for each seed.
    pub fn new(tenant: &str, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let people = PEOPLE.iter().enumerate().map(|(index, &(id, team))| Person {
            id,
            team,
            // 192.0.2.0/24 is reserved for documentation (RFC 5737).
            address: format!("192.0.2.{}", index + 10),
            session: session(&mut random),
            roles: BTreeSet::from([ROLES[0]]),
        });
        let people = people.collect();
        Self {
            tenant: tenant.to_owned(),
            random,
            people,
            retention_days: [30; SERVICES.len()],
        }
    }

    /// The event at this time.
    pub fn event(&mut self, time_us: i64) -> AuditEvent {
        let who = self.random.random_range(0..self.people.len());
        let mut event = self.by(who, time_us);
        match self.action() {
            Action::SignIn => self.sign_in(who, &mut event),
            Action::SignOut => {
                event.action = "user.sign_out".to_owned();
                about(&mut event, "user", self.people[who].id, self.people[who].id);
            }
            Action::ChangeRoles => self.change_roles(&mut event),
            Action::ChangeRetention => self.change_retention(&mut event),
            Action::CreateKey => {
                event.action = "api_key.create".to_owned();
                let key = self.id().to_string();
                about(&mut event, "api_key", &key, "ci pipeline");
                self.may_fail(&mut event);
            }
            Action::Export => {
                event.action = "audit.export".to_owned();
                event.source = AuditSource::Api;
                event.user_agent = "curl/8.14.1".to_owned();
                let days = self.random.random_range(1..=730);
                about(&mut event, "export", &format!("audit-{days}d"), "audit events");
                event.metadata.insert("days".to_owned(), days.to_string());
                self.may_fail(&mut event);
            }
            Action::Webhook => self.webhook(&mut event),
        }
        event
    }

    fn action(&mut self) -> Action {
        let mut draw = self
            .random
            .random_range(0..ACTIONS.iter().map(|(weight, _)| weight).sum());
        for (weight, action) in ACTIONS {
            if draw < weight {
                return action;
            }
            draw -= weight;
        }
        Action::SignIn
    }

    /// An event by a person in the user interface.
    fn by(&mut self, who: usize, time_us: i64) -> AuditEvent {
        let (event_id, request_id) = (self.id().to_string(), self.id().to_string());
        let person = &self.people[who];
        AuditEvent {
            event_id,
            tenant_id: self.tenant.clone(),
            occurred_at: time_us,
            user_id: person.id.to_owned(),
            team_id: person.team.to_owned(),
            service_id: "identity".to_owned(),
            source: AuditSource::Ui,
            ip_address: person.address.clone(),
            user_agent: BROWSER.to_owned(),
            session_id: person.session.clone(),
            request_id,
            status: AuditStatus::Success,
            ..AuditEvent::default()
        }
    }

    fn sign_in(&mut self, who: usize, event: &mut AuditEvent) {
        event.action = "user.sign_in".to_owned();
        about(event, "user", self.people[who].id, self.people[who].id);
        event.metadata.insert("method".to_owned(), "password".to_owned());
        if self.random.random_bool(WRONG_PASSWORD_SHARE) {
            event.status = AuditStatus::Failure;
            event.error_message = "wrong password".to_owned();
            event.session_id.clear();
            return;
        }
        self.people[who].session = session(&mut self.random);
        event.session_id.clone_from(&self.people[who].session);
    }

    fn change_roles(&mut self, event: &mut AuditEvent) {
        let whom = self.random.random_range(0..self.people.len());
        let role = ROLES[self.random.random_range(1..ROLES.len())];
        let before = &self.people[whom].roles;
        let mut after = before.clone();
        let granted = after.insert(role);
        if !granted {
            after.remove(role);
        }
        event.action = if granted { "role.grant" } else { "role.revoke" }.to_owned();
        event.old_value = json!({ "roles": before }).to_string();
        event.new_value = json!({ "roles": after }).to_string();
        about(event, "user", self.people[whom].id, self.people[whom].id);
        if self.may_fail(event) {
            self.people[whom].roles = after;
        }
    }

    fn change_retention(&mut self, event: &mut AuditEvent) {
        let index = self.random.random_range(0..SERVICES.len());
        let days = 30 * self.random.random_range(1..=12);
        event.action = "settings.update".to_owned();
        event.service_id = SERVICES[index].id.to_owned();
        event.old_value = json!({ "retention_days": self.retention_days[index] }).to_string();
        event.new_value = json!({ "retention_days": days }).to_string();
        about(
            event,
            "settings",
            &format!("{}/retention", SERVICES[index].id),
            "retention",
        );
        if self.may_fail(event) {
            self.retention_days[index] = days;
        }
    }

    /// Not by a person: another system calls.
    fn webhook(&mut self, event: &mut AuditEvent) {
        let service = &SERVICES[self.random.random_range(0..SERVICES.len())];
        event.action = "deployment.record".to_owned();
        event.source = AuditSource::Webhook;
        event.user_id = "ci".to_owned();
        event.team_id = service.team.to_owned();
        event.service_id = service.id.to_owned();
        event.session_id.clear();
        // 198.51.100.0/24 is reserved for documentation too.
        event.ip_address = "198.51.100.7".to_owned();
        event.user_agent = "ci-webhook/2".to_owned();
        let revision = format!("{:07x}", self.random.random::<u32>() >> 4);
        event.new_value = json!({ "revision": revision }).to_string();
        about(event, "deployment", &format!("{}@{revision}", service.id), service.id);
    }

    /// Whether it went well. Most actions do.
    fn may_fail(&mut self, event: &mut AuditEvent) -> bool {
        let draw: f64 = self.random.random();
        let (status, message) = match draw {
            draw if draw < REFUSED_SHARE => (AuditStatus::Failure, "permission denied"),
            draw if draw < REFUSED_SHARE + BROKEN_SHARE => (AuditStatus::Error, "upstream timed out"),
            _ => return true,
        };
        event.status = status;
        event.error_message = message.to_owned();
        false
    }

    fn id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid()
    }
}

fn session(random: &mut StdRng) -> String {
    format!("{:016x}", random.random::<u64>())
}

fn about(event: &mut AuditEvent, resource_type: &str, id: &str, name: &str) {
    event.resource_type = resource_type.to_owned();
    event.resource_id = id.to_owned();
    event.resource_name = name.to_owned();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn events(seed: u64, count: i64) -> Vec<AuditEvent> {
        let mut stream = AuditStream::new("demo", seed);
        (0..count).map(|index| stream.event(index * 200_000)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_stream_again_and_another_seed_another() {
        assert_eq!(events(7, 300), events(7, 300));
        assert_ne!(events(7, 300), events(8, 300));
    }

    #[test]
    fn every_event_keeps_the_pipelines_rules() {
        let mut ids = BTreeSet::new();
        for event in events(1, 5_000) {
            assert!(
                Uuid::parse_str(&event.event_id).is_ok() && ids.insert(event.event_id.clone()),
                "{event:?}"
            );
            assert!(!event.action.is_empty() && !event.resource_type.is_empty(), "{event:?}");
            for value in [&event.old_value, &event.new_value] {
                assert!(
                    value.is_empty() || serde_json::from_str::<serde_json::Value>(value).is_ok(),
                    "{event:?}"
                );
            }
            assert_eq!(
                event.status == AuditStatus::Success,
                event.error_message.is_empty(),
                "{event:?}"
            );
        }
    }

    #[test]
    fn every_status_and_source_of_people_and_programs_occurs() {
        let events = events(2, 5_000);
        for status in [AuditStatus::Success, AuditStatus::Failure, AuditStatus::Error] {
            assert!(events.iter().any(|event| event.status == status), "{status:?}");
        }
        for source in [AuditSource::Ui, AuditSource::Api, AuditSource::Webhook] {
            assert!(events.iter().any(|event| event.source == source), "{source:?}");
        }
    }

    #[test]
    fn the_old_roles_are_those_of_the_change_before() {
        let mut roles: BTreeMap<String, String> = BTreeMap::new();
        let changes = events(3, 5_000)
            .into_iter()
            .filter(|event| event.action.starts_with("role."));
        for event in changes {
            if let Some(before) = roles.get(&event.resource_id) {
                assert_eq!(before, &event.old_value);
            }
            let kept = if event.status == AuditStatus::Success {
                event.new_value
            } else {
                event.old_value
            };
            roles.insert(event.resource_id, kept);
        }
        assert!(!roles.is_empty());
    }
}
