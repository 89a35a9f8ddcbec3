//! Disturbs the processes of a local stack during a run: kills, stops and pauses them.
//!
//! Enters: a plan, written (`10s kill horolog-ingest; 20s pause clickhouse 5s`) or drawn from a seed. Leaves: what was
//! done, and how long it took until the process was replaced. Processes are looked up by name when a step begins, and
//! signalled by id and start time, so that no other process is ever touched.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch::Receiver;

use crate::local_stack::LocalStack;
use crate::process::{Paused, Process};
use crate::results::Disturbance;
use crate::span;

/// The processes that a plan may disturb.
const VICTIMS: [&str; 5] = [
    "horolog-ingest",
    "horolog-aggregate",
    "clickhouse",
    "broker",
    "horolog-query",
];
/// Longest drawn pause: longer than a broker session (10 s), so that partitions are reassigned.
const PAUSE_DRAWN_MAX_S: f64 = 12.0;
/// How long the replacement of a process may take.
const BACK_DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// A plan of disturbances.
#[derive(Debug, Clone, PartialEq)]
pub struct Disturb(Vec<Step>);

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    at: Duration,
    action: Action,
    process: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    Kill,
    Stop,
    Pause(Duration),
}

/// Why a plan is invalid.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("`{step}`: {reason}; write `10s kill horolog-ingest; 20s pause clickhouse 5s; 30s stop broker`")]
pub struct PlanError {
    step: String,
    reason: String,
}

impl Disturb {
    /// Parses a plan.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let steps = text.split(';').map(str::trim).filter(|step| !step.is_empty());
        let mut steps = steps
            .map(|step| {
                Step::parse(step).map_err(|reason| PlanError {
                    step: step.to_owned(),
                    reason,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        steps.sort_by_key(|step| step.at);
        Ok(Self(steps))
    }

    /// Draws a plan: one step at each multiple of `every` before the end.
    pub fn draw(every: Duration, length: Duration, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let every = every.max(Duration::from_millis(100));
        let times = (1..).map(|number| every * number).take_while(|at| *at < length);
        let steps = times.map(|at| {
            let process = VICTIMS[random.random_range(0..VICTIMS.len())].to_owned();
            let action = match random.random_range(0..4) {
                0 => Action::Stop,
                1 => Action::Pause(Duration::from_secs_f64(random.random_range(0.2..PAUSE_DRAWN_MAX_S))),
                _ => Action::Kill,
            };
            Step { at, action, process }
        });
        Self(steps.collect())
    }

    /// When the last step is over.
    pub fn length(&self) -> Duration {
        let ends = self.0.iter().map(|step| match step.action {
            Action::Pause(duration) => step.at + duration,
            Action::Kill | Action::Stop => step.at,
        });
        ends.max().unwrap_or_default()
    }

    /// Whether the plan has no steps.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Step {
    fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (at, action, process) = match words[..] {
            [at, "kill", process] => (at, Action::Kill, process),
            [at, "stop", process] => (at, Action::Stop, process),
            [at, "pause", process, duration] => (at, Action::Pause(span::parse(duration)?), process),
            _ => return Err("the action is neither kill, stop nor pause".to_owned()),
        };
        if !VICTIMS.contains(&process) {
            return Err(format!(
                "no process `{process}`; the processes are {}",
                VICTIMS.join(", ")
            ));
        }
        Ok(Self {
            at: span::parse(at)?,
            action,
            process: process.to_owned(),
        })
    }
}

/// Carries out the plan until the run is over. Pauses that would last longer end with it.
pub async fn disturb(plan: Disturb, stack: LocalStack, begun: Instant, mut over: Receiver<bool>) -> Vec<Disturbance> {
    let mut done = Vec::new();
    for step in plan.0 {
        let is_over = tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => true,
            () = tokio::time::sleep_until((begun + step.at).into()) => false,
        };
        let at = begun.elapsed();
        let failure = match is_over {
            true => Some(anyhow::anyhow!("the run was over before its turn")),
            false => carry_out(&step, &stack, &mut over).await.err(),
        };
        let disturbance = Disturbance {
            at_s: at.as_secs_f64(),
            action: step.action.name().to_owned(),
            process: step.process,
            lasted_s: begun.elapsed().saturating_sub(at).as_secs_f64(),
            failure: failure.map(|error| format!("{error:#}")),
        };
        eprintln!("{:.1} s: {}", disturbance.at_s, disturbance.text());
        done.push(disturbance);
    }
    done
}

async fn carry_out(step: &Step, stack: &LocalStack, over: &mut Receiver<bool>) -> anyhow::Result<()> {
    let victim = find(stack, &step.process).await?;
    let Some(victim) = victim else {
        anyhow::bail!("it is not running");
    };
    match step.action {
        Action::Kill => victim.kill()?,
        Action::Stop => victim.terminate()?,
        Action::Pause(duration) => {
            let _paused = Paused::new([victim])?;
            tokio::select! {
                () = tokio::time::sleep(duration) => {}
                _ = over.wait_for(|over| *over) => {}
            }
            return Ok(());
        }
    }
    let deadline = Instant::now() + BACK_DEADLINE;
    while Instant::now() < deadline {
        if find(stack, &step.process)
            .await?
            .is_some_and(|process| process != victim)
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    anyhow::bail!("it was not restarted within {} s", BACK_DEADLINE.as_secs())
}

async fn find(stack: &LocalStack, name: &str) -> anyhow::Result<Option<Process>> {
    let processes = stack.running_processes().await?;
    Ok(processes.into_iter().find(|process| process.name == name))
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause(_) => "pause",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_in_the_order_of_its_times() {
        let plan = Disturb::parse("20s pause clickhouse 5s; 10s kill horolog-ingest;").unwrap();
        assert_eq!(
            plan.0.iter().map(|step| step.at.as_secs()).collect::<Vec<_>>(),
            [10, 20]
        );
        assert_eq!(plan.0[1].action, Action::Pause(Duration::from_secs(5)));
        assert_eq!(plan.length(), Duration::from_secs(25));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_there_is() {
        let wrong = |text: &str| Disturb::parse(text).unwrap_err().to_string();
        assert!(wrong("10s kill postgres").contains("clickhouse"));
        assert!(wrong("10s freeze broker").contains("pause"));
        assert!(wrong("ten kill broker").contains("duration"));
        assert!(wrong("10s pause broker").contains("pause"));
    }

    #[test]
    fn a_seed_draws_the_same_plan_again() {
        let draw = |seed| Disturb::draw(Duration::from_secs(10), Duration::from_secs(60), seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1).0.len(), 5);
    }
}
