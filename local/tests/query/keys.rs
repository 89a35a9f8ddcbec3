//! API keys over the admin API and the command line: their life, their limits, where they can be seen.

use reqwest::Method;
use serde_json::{Value, json};

use crate::asking::{KEYS, administer, call_at, get_as, made, make_key};
use crate::bed::{Bed, TRAIL_SETTING, wait_until};
use crate::client::{DEADLINE, EVENTS, HOURS, assert_is_problem, ready, service};
use crate::http::begin;

#[test]
fn a_key_is_made_used_rotated_and_revoked() {
    let first = make_key("auditor", "life", json!({}));
    assert_eq!(get_as(&first.token, EVENTS).status, 200);
    let rotate = format!("{KEYS}/{}/rotate", first.id);
    let both = made(&administer(&rotate, &json!({})));
    assert_eq!(both.id, first.id);
    for token in [&first.token, &both.token] {
        assert_eq!(get_as(token, EVENTS).status, 200, "while it is rotated both are taken");
    }
    let last = made(&administer(&rotate, &json!({"overlap_s": 0})));
    for (token, status) in [(&first.token, 401), (&both.token, 401), (&last.token, 200)] {
        assert_eq!(get_as(token, EVENTS).status, status);
    }
    let revoked = administer(&format!("{KEYS}/{}/revoke", first.id), &json!({}));
    assert_eq!((revoked.status, &revoked.json()["in_force"]), (200, &json!(false)));
    let refused = get_as(&last.token, EVENTS);
    assert_eq!(refused.status, 401);
    assert_is_problem(&refused);
    assert_eq!(administer(&rotate, &json!({})).status, 409, "nothing brings it back");
}

#[test]
fn what_is_shown_of_keys_holds_no_secret() {
    let key = make_key(
        "analyst",
        "shown",
        json!({"teams": ["t1"], "expires_at": "2100-01-01T00:00:00Z"}),
    );
    let admin = Bed::shared().key("admin");
    let shown = get_as(&admin, &format!("{KEYS}/{}", key.id)).json();
    assert_eq!(shown["tenant"], "shown");
    assert_eq!(shown["teams"], json!(["t1"]));
    assert_eq!(shown["permissions"], json!(["metrics:read", "audit:count"]));
    assert_eq!(shown["created_by"].as_str().unwrap().split(':').next(), Some("key"));
    let secret = &key.token[key.token.len() - 30..];
    for path in [
        KEYS.to_owned(),
        format!("{KEYS}/{}", key.id),
        "/v1/admin/access-review".to_owned(),
    ] {
        let answer = get_as(&admin, &path);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.contains(&key.id) && !answer.text.contains(secret) && !answer.text.contains("sha256"));
    }
}

#[test]
fn a_key_does_what_its_scopes_say_from_where_and_until_when_they_say() {
    let scoped = make_key("auditor", "scoped", json!({"scopes": ["audit:count"]}));
    assert_eq!(get_as(&scoped.token, "/v1/audit/counts").status, 200);
    for path in [EVENTS, HOURS, "/v1/audit/exports", "/v1/system/ledger", KEYS] {
        assert_eq!(get_as(&scoped.token, path).status, 403, "{path}");
    }
    let (here, elsewhere) = (
        json!({"addresses": ["127.0.0.0/8"]}),
        json!({"addresses": ["10.0.0.0/8", "::1/128"]}),
    );
    assert_eq!(get_as(&make_key("auditor", "scoped", here).token, EVENTS).status, 200);
    assert_eq!(
        get_as(&make_key("auditor", "scoped", elsewhere.clone()).token, EVENTS).status,
        401
    );
    // Whoever is not a trusted proxy cannot say where it comes from.
    let request = reqwest::Client::new().get(format!("{}{EVENTS}", service().http()));
    let token = make_key("auditor", "scoped", elsewhere).token;
    let answer = crate::client::send_as(Bed::shared(), &token, request.header("x-forwarded-for", "10.1.1.1"));
    assert_eq!(answer.status, 401);
    // On a busy machine a moment may be over before the key is made: then a later one is asked for.
    let ends = [2, 20, 60].into_iter().find_map(|seconds| {
        let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339();
        let body = json!({
            "name": "ends soon", "role": "auditor", "tenant": "scoped", "requests_per_hour": 100_000, "expires_at": soon
        });
        let answer = administer(KEYS, &body);
        (answer.status == 201).then(|| made(&answer))
    });
    let ends = ends.expect("a key that ends soon is made");
    wait_until(DEADLINE, "the key has expired", || {
        get_as(&ends.token, EVENTS).status == 401
    });
}

#[test]
fn requests_beyond_the_limit_are_told_when_to_come_back() {
    let key = make_key("analyst", "limited-key", json!({"requests_per_hour": 3}));
    for left in ["r=2", "r=1", "r=0"] {
        let answer = get_as(&key.token, HOURS);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), "\"hour\";q=3;w=3600");
        assert!(
            answer.header("ratelimit").contains(left),
            "{}",
            answer.header("ratelimit")
        );
    }
    let refused = get_as(&key.token, HOURS);
    assert_eq!(refused.status, 429);
    assert_is_problem(&refused);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1_201).contains(&wait), "{wait}");
    assert!(
        refused.header("ratelimit").contains("r=0"),
        "{}",
        refused.header("ratelimit")
    );
    let other = make_key("analyst", "limited-key", json!({}));
    assert_eq!(get_as(&other.token, HOURS).status, 200, "another key has its own");
}

#[test]
fn a_key_that_cannot_be_is_refused_by_the_member_to_change() {
    for (change, named) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"role": "root"}), "role"),
        (json!({"tenant": ""}), "tenant"),
        (json!({"scopes": ["keys:manage"]}), "scopes"),
        (json!({"role": "admin", "scopes": ["system:read"]}), "scopes"),
        (json!({"scopes": ["everything"]}), "scopes[0]"),
        (json!({"addresses": ["10.0.0.0/99"]}), "addresses[0]"),
        (json!({"requests_per_hour": 0}), "requests_per_hour"),
        (json!({"requests_per_hour": -1}), "requests_per_hour"),
        (json!({"requests_per_hour": 1_000_001}), "requests_per_hour"),
        (
            json!({"limits": {"statement_timeout_s": 0}}),
            "limits.statement_timeout_s",
        ),
        (
            json!({"limits": {"concurrent_requests_max": 0}}),
            "limits.concurrent_requests_max",
        ),
        (json!({"limits": {"rows": 1}}), "limits.rows"),
        (json!({"expires_at": "2001-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({"teams": [""]}), "teams"),
        (json!({"rights": []}), "rights"),
    ] {
        let mut body = json!({"name": "n", "role": "auditor", "tenant": "refused"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_eq!(administer(KEYS, &body).refused_parameter(), named, "{change}");
    }
    let key = make_key("auditor", "refused", json!({}));
    let rotate = format!("{KEYS}/{}/rotate", key.id);
    assert_eq!(
        administer(&rotate, &json!({"overlap_s": 99_999_999})).refused_parameter(),
        "overlap_s"
    );
}

#[test]
fn a_tenant_has_so_many_keys_in_force() {
    let service = ready(Bed::shared(), &[("HOROLOG_QUERY__ACCESS__KEYS_PER_TENANT_MAX", "2")]);
    let admin = Bed::shared().key("admin");
    let post = |path: &str, body: &Value| call_at(&service, &admin, Method::POST, path, Some(body));
    let create = |tenant: &str| {
        post(
            KEYS,
            &json!({"name": "one of many", "role": "analyst", "tenant": tenant}),
        )
    };
    let first = made(&create("many-keys"));
    assert_eq!(create("many-keys").status, 201);
    let refused = create("many-keys");
    assert_eq!(refused.status, 409);
    assert_is_problem(&refused);
    assert_eq!(create("few-keys").status, 201, "another tenant has its own");
    assert_eq!(post(&format!("{KEYS}/{}/revoke", first.id), &json!({})).status, 200);
    assert_eq!(create("many-keys").status, 201, "one that is over does not count");
}

#[test]
fn all_processes_know_a_key_and_so_does_the_next_start() {
    let mut second = ready(Bed::shared(), &[]);
    let key = make_key("auditor", "everywhere", json!({}));
    let status = |service: &crate::bed::Proc| call_at(service, &key.token, Method::GET, EVENTS, None).status;
    wait_until(DEADLINE, "the other process knows the key", || status(&second) == 200);
    second.kill9();
    let third = ready(Bed::shared(), &[]);
    assert_eq!(status(&third), 200, "a start reads all keys");
    assert_eq!(administer(&format!("{KEYS}/{}/revoke", key.id), &json!({})).status, 200);
    wait_until(DEADLINE, "the other process knows that it is revoked", || {
        status(&third) == 401
    });
}

#[test]
fn a_journal_that_forgets_by_age_is_refused() {
    let bed = Bed::shared();
    bed.topic("forgetful", 1);
    let mut service = bed.spawn(
        "horolog-query",
        &[("HOROLOG_QUERY__ACCESS__JOURNAL_TOPIC", "forgetful")],
    );
    assert!(!service.wait(DEADLINE).success());
    let log = std::fs::read_to_string(service.log()).unwrap();
    assert!(
        log.contains("access.journal_topic = forgetful: cleanup.policy is delete"),
        "{log}"
    );
}

#[test]
fn changes_of_two_processes_at_once_are_all_made() {
    let second = ready(Bed::shared(), &[]);
    let admin = Bed::shared().key("admin");
    let body = json!({"name": "race", "role": "analyst", "tenant": "race"});
    let create = |service: &crate::bed::Proc| {
        for _ in 0..4 {
            assert_eq!(call_at(service, &admin, Method::POST, KEYS, Some(&body)).status, 201);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| create(&second));
        scope.spawn(|| create(service()));
    });
    wait_until(DEADLINE, "all are known", || {
        let answer = get_as(&admin, KEYS).json();
        answer["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["tenant"] == "race")
            .count()
            == 8
    });
}

#[test]
fn whoever_hangs_up_on_a_change_keeps_nobody_from_ending_a_key() {
    let hasty = make_key("admin", "hasty", json!({})).token;
    let key = make_key("auditor", "patient", json!({}));
    let body = json!({"name": "not waited for", "role": "analyst", "tenant": "hasty"}).to_string();
    let request = format!(
        "POST {KEYS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {hasty}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..40 {
        let hung_up = begin(service(), request.as_bytes());
        // What is recorded later is acknowledged later: the change has come to the journal, mostly.
        assert_eq!(get_as(&key.token, EVENTS).status, 200);
        drop(hung_up);
    }
    let revoked = administer(&format!("{KEYS}/{}/revoke", key.id), &json!({}));
    assert_eq!(revoked.status, 200, "{}", revoked.text);
}

#[test]
fn an_administrator_whose_key_has_ended_makes_no_more_keys_of_what_was_asked_before() {
    let leaked = make_key("admin", "leaked", json!({}));
    let body = json!({"name": "of a leaked key", "role": "analyst", "tenant": "leaked"});
    let listed = || {
        let answer = get_as(&Bed::shared().key("admin"), KEYS).json();
        let rows = answer["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["name"] == body["name"]).count()
    };
    let after_the_end = std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| call_at(service(), &leaked.token, Method::POST, KEYS, Some(&body)));
        }
        wait_until(DEADLINE, "the first key is made", || listed() > 0);
        let revoked = administer(&format!("{KEYS}/{}/revoke", leaked.id), &json!({}));
        assert_eq!(revoked.status, 200, "{}", revoked.text);
        listed()
    });
    let more = listed() - after_the_end;
    assert!(more <= 1, "{more}: one was under way");
}

#[test]
fn whoever_ends_a_key_again_and_again_takes_nobodys_turn_in_the_journal() {
    let bed = Bed::shared();
    let keys = ["ended often", "ended later"].map(|name| make_key("analyst", name, json!({})));
    let end = |key: usize| {
        let revoked = administer(&format!("{KEYS}/{}/revoke", keys[key].id), &json!({}));
        assert_eq!((revoked.status, &revoked.json()["in_force"]), (200, &json!(false)));
    };
    let versions = |key: usize| {
        let id = &keys[key].id;
        let ended = format!("key_id = '{id}' and revoked_at is not null");
        bed.sql::<u64>(&format!("select max(version) from access_keys where {ended} having max(version) > 0"))
    };
    end(0);
    wait_until(DEADLINE, "its end is in the table", || !versions(0).is_empty());
    let first = versions(0);
    for _ in 0..3 {
        end(0);
    }
    end(1);
    wait_until(DEADLINE, "what came later is there", || !versions(1).is_empty());
    assert_eq!(versions(0), first, "the journal was asked once");
}

#[test]
fn keys_can_be_asked_for_in_sql_and_reviewed() {
    let bed = Bed::shared();
    let key = make_key("service", "review", json!({"addresses": ["127.0.0.0/8"]}));
    let service = ready(bed, &[("HOROLOG_QUERY__ACCESS__LAST_USE_INTERVAL_S", "1")]);
    assert_eq!(call_at(&service, &key.token, Method::GET, EVENTS, None).status, 200);
    let select = |columns: &str| format!("select {columns} from access_review where key_id = '{}'", key.id);
    wait_until(DEADLINE, "its use is in the table", || {
        bed.sql::<String>(&select("last_used_from")) == ["127.0.0.1"]
    });
    let notes = bed.one::<Vec<String>>(&select("notes"));
    assert_eq!(notes, ["never expires"]);
    let masked = bed.one::<Vec<(String, String)>>(&select("arraySort(masked::Array(Tuple(String, String)))"));
    assert!(
        masked.contains(&("user_id".to_owned(), "keyed_hash".to_owned())),
        "{masked:?}"
    );
    let review = get_as(&bed.key("admin"), "/v1/admin/access-review").json();
    let row = |row: &&Value| row["id"] == key.id;
    let row = review["rows"].as_array().unwrap().iter().find(row).unwrap();
    assert_eq!(
        (&row["notes"], &row["masked"]["old_value"]),
        (&json!(["never expires"]), &json!("hidden"))
    );
    wait_until(DEADLINE, "the process that was asked knows of the use as well", || {
        let shown = get_as(&bed.key("admin"), &format!("{KEYS}/{}", key.id)).json();
        shown["last_used"]["from"] == "127.0.0.1"
    });
    administer(&format!("{KEYS}/{}/revoke", key.id), &json!({}));
    wait_until(DEADLINE, "it is gone from the review", || {
        bed.sql::<String>(&select("name")).is_empty()
    });
}

/// The arguments that make a key.
fn creating<'a>(name: &'a str, role: &'a str, tenant: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let key = ["keys", "create", "--name", name, "--role", role, "--tenant", tenant];
    [&key, more].concat()
}

#[test]
fn whoever_runs_the_service_makes_and_ends_keys_in_a_terminal() {
    let run = |arguments: &[&str]| {
        let mut run = Bed::shared().spawn_command("horolog-query", arguments, &[]);
        let status = run.wait(DEADLINE);
        (status.success(), std::fs::read_to_string(run.log()).unwrap())
    };
    let limit = ["--statement-result-rows-max", "54321"];
    let (done, output) = run(&creating("by hand", "auditor", "terminal", &limit));
    assert!(done, "{output}");
    let token_of = |output: &str| {
        let line = output.lines().find(|line| line.starts_with("hlg_"));
        line.unwrap_or_else(|| panic!("no token: {output}")).to_owned()
    };
    let token = token_of(&output);
    wait_until(DEADLINE, "the running service takes it", || {
        get_as(&token, EVENTS).status == 200
    });
    let id = token.split('_').nth(1).unwrap();
    let (done, output) = run(&["keys", "rotate", id, "--overlap-s", "0"]);
    assert!(done, "{output}");
    let next = token_of(&output);
    wait_until(DEADLINE, "the running service takes the next one", || {
        get_as(&next, EVENTS).status == 200
    });
    assert_eq!(get_as(&token, EVENTS).status, 401);
    let (done, output) = run(&["keys", "list"]);
    let row = output.lines().find(|line| line.contains(id)).unwrap_or_default();
    assert!(
        done && row.contains("auditor") && row.contains("54321") && !output.contains(&next[20..]),
        "{output}"
    );
    let (done, output) = run(&["access-review", "--json"]);
    assert!(
        done && output.contains(&format!("\"id\": \"{id}\"")) && !output.contains(&next[20..]),
        "{output}"
    );
    assert!(run(&["keys", "revoke", id]).0);
    wait_until(DEADLINE, "the running service refuses it", || {
        get_as(&next, EVENTS).status == 401
    });
    for (wrong, said) in [
        (&["keys", "revoke", "nobody"][..], "there is no such key"),
        (
            &creating("x", "analyst", "t", &["--scope", "audit:read"]),
            "scopes: the role analyst has no audit:read",
        ),
        (&creating("", "analyst", "t", &[]), "name: expected"),
        (
            &creating("x", "analyst", "t", &["--statement-timeout-s", "0"]),
            "--statement-timeout-s",
        ),
    ] {
        let (done, output) = run(wrong);
        assert!(!done && output.contains(said), "{wrong:?}: {output}");
    }
}

#[test]
fn wrong_keys_are_counted_in_the_trail_though_none_follows_them() {
    let bed = Bed::shared();
    for topic in ["guessed-trail", "guessed-metrics"] {
        bed.topic(topic, 1);
    }
    let settings = [
        (TRAIL_SETTING, "guessed-trail"),
        ("HOROLOG_QUERY__ACCESS__PLATFORM_TENANT", "guessed"),
    ];
    let mut service = ready(bed, &settings);
    for _ in 0..7 {
        assert_eq!(call_at(&service, "nonsense", Method::GET, EVENTS, None).status, 401);
    }
    service.term();
    assert!(service.wait(DEADLINE).success(), "{}", service.log_tail());
    let _ingest = bed.spawn(
        "horolog-ingest",
        &[
            ("HOROLOG_INGEST__SOURCE__AUDIT_TOPIC", "guessed-trail"),
            ("HOROLOG_INGEST__SOURCE__METRICS_TOPIC", "guessed-metrics"),
            ("HOROLOG_INGEST__SOURCE__GROUP", "guessed-ingest"),
        ],
    );
    wait_until(DEADLINE, "the first and the others are told", || {
        let counts = "select metadata['requests'] from audit_logs where tenant_id = 'guessed' and action = 'access.refuse' \
            and ip_address = '127.0.0.1' order by occurred_at";
        bed.sql::<String>(counts) == ["1", "6"]
    });
}
