//! Whether and when a refused request is sent again. Enters: the refusal, and how often it was already sent again.
//! Leaves: how long to wait, or nothing if waiting does not help. Pure.

use std::time::Duration;

use super::error::CliError;

/// How often a request is sent again.
const WAITS_MAX: u32 = 10;
/// Rather than wait silently for longer than this, the command fails. Seconds.
const WAIT_MAX_S: u64 = 600;
/// Interval of polling: at first, and at most.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// So many looks in a row may find nobody: minutes, in which a service is restarted.
pub const UNREACHED_MAX: u32 = 20;
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// As long as the service says, if it does.
pub fn wait(refusal: &CliError, waits: u32) -> Option<Duration> {
    let CliError::Problem {
        problem,
        retry_after_s: Some(seconds),
    } = refusal
    else {
        return None;
    };
    let is_for_now = matches!(problem.status, 429 | 503) && waits < WAITS_MAX && *seconds <= WAIT_MAX_S;
    is_for_now.then(|| Duration::from_secs((*seconds).max(1)))
}

/// The next polling interval: increasing, so that watching for hours uses few of the key's requests.
pub fn longer(interval: Duration) -> Duration {
    (interval * 3 / 2).min(LOOK_INTERVAL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::ProblemDetails;

    fn refusal(status: u16, retry_after_s: Option<u64>) -> CliError {
        let problem = ProblemDetails {
            status,
            ..ProblemDetails::default()
        };
        CliError::Problem {
            problem: Box::new(problem),
            retry_after_s,
        }
    }

    #[test]
    fn what_is_refused_for_now_is_sent_again_when_the_service_says() {
        for (status, retry_after_s, waits, expected) in [
            (429, Some(4), 0, Some(4)),
            (503, Some(5), WAITS_MAX - 1, Some(5)),
            (503, Some(0), 0, Some(1)),
            (503, None, 0, None),
            (503, Some(5), WAITS_MAX, None),
            (429, Some(WAIT_MAX_S + 1), 0, None),
            (403, Some(4), 0, None),
        ] {
            let found = wait(&refusal(status, retry_after_s), waits);
            assert_eq!(
                found,
                expected.map(Duration::from_secs),
                "{status}, {retry_after_s:?}, {waits}"
            );
        }
    }

    #[test]
    fn an_hour_of_watching_is_a_part_of_the_requests_that_a_key_has() {
        let (mut interval, mut passed, mut looks) = (LOOK_INTERVAL, Duration::ZERO, 0);
        while passed < Duration::from_secs(3_600) {
            passed += interval;
            interval = longer(interval);
            looks += 1;
        }
        assert!((300..400).contains(&looks), "{looks}");
    }
}
