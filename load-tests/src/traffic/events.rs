//! Generated audit events: users of some tenants act on resources.
//!
//! Enters: a seed, then a time for each event. Leaves: key and payload of about 300 bytes. Ids are random, as in
//! practice, and so do not compress. No clock, no I/O.

use std::collections::BTreeMap;

use horolog_schemas::{AuditEvent, AuditSource, AuditStatus};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Builder;

use super::mix::{ByteRange, Mix};
use super::series::{keys, random_text};

const ACTIONS: [(&str, &str, AuditSource); 6] = [
    ("user.sign_in", "user", AuditSource::Ui),
    ("role.assign", "user", AuditSource::Ui),
    ("api_key.create", "api_key", AuditSource::Api),
    ("document.update", "document", AuditSource::Api),
    ("retention.change", "setting", AuditSource::System),
    ("hook.deliver", "webhook", AuditSource::Webhook),
];
const PEOPLE: usize = 500;
const FAILURES: f64 = 0.03;

/// An endless stream of events.
pub(super) struct Events {
    tenants: Vec<String>,
    resources: usize,
    extra: ByteRange,
    event: AuditEvent,
    key: String,
    random: StdRng,
}

impl Events {
    pub(super) fn new(mix: &Mix, tenants: &[String], seed: u64) -> Self {
        let metadata = (0..mix.labels).map(|number| (format!("field_{number}"), format!("value-{number}")));
        Self {
            tenants: tenants.to_vec(),
            resources: keys(mix),
            extra: mix.extra_bytes,
            event: AuditEvent {
                user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
                metadata: BTreeMap::from_iter(metadata),
                ..AuditEvent::default()
            },
            key: String::new(),
            random: StdRng::seed_from_u64(seed.wrapping_add(2)),
        }
    }

    /// Writes the payload of the next event, which happened at this time; returns its key.
    pub(super) fn record(&mut self, time_us: i64, payload: &mut Vec<u8>) -> &str {
        let random = &mut self.random;
        let resource = random.random_range(0..self.resources);
        let person = random.random_range(0..PEOPLE);
        // A resource determines action and tenant, so that there are as many keys as resources.
        let (action, resource_type, source) = ACTIONS[resource % ACTIONS.len()];
        let event = &mut self.event;
        event.occurred_at = time_us;
        set(&mut event.event_id, &uuid(random));
        set(&mut event.request_id, &uuid(random));
        set(&mut event.tenant_id, &self.tenants[resource % self.tenants.len()]);
        set(&mut event.user_id, &format!("user-{person:04}"));
        set(&mut event.team_id, &format!("team-{:02}", person % 16));
        set(&mut event.ip_address, &format!("192.0.2.{}", person % 250 + 1));
        set(&mut event.action, action);
        set(&mut event.resource_type, resource_type);
        set(&mut event.resource_id, &format!("r-{resource:06}"));
        event.source = source;
        let failed = random.random::<f64>() < FAILURES;
        event.status = if failed {
            AuditStatus::Failure
        } else {
            AuditStatus::Success
        };
        set(&mut event.error_message, if failed { "not allowed" } else { "" });
        event.new_value.clear();
        if self.extra.max > 0 {
            event.new_value.push('"');
            random_text(self.extra, random, &mut event.new_value);
            event.new_value.push('"');
        }
        payload.clear();
        event.encode_single_object(payload);
        self.key = event.key();
        &self.key
    }
}

fn set(field: &mut String, text: &str) {
    field.clear();
    field.push_str(text);
}

fn uuid(random: &mut StdRng) -> String {
    Builder::from_random_bytes(random.random()).into_uuid().to_string()
}
