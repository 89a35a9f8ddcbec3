//! Makes a partition that was added to its topic count, step by step: [`crate::growth`] decides, this reads and states.

use crate::clock::now_ms;
use crate::facts::{FactsError, Questions};
use crate::growth::{self, Growth, Joining};
use crate::plan::Plan;
use crate::progress;
use crate::stage::{Progress, Stage};

/// A partition that was added has come to count.
#[derive(Debug, Clone, Copy)]
pub struct Joined {
    /// The older partitions.
    pub counted: i32,
    /// What those had stated, ms since 1970.
    pub stated_ms: i64,
}

/// Finds out what the owner of a partition may state of its topic's number of partitions. One that was added begins once
/// all older ones count it, with what they have stated by then. What is stated here, in this life of the log, needs no
/// lease: it is never later than what the owner begins with.
pub async fn join(
    questions: &Questions<'_>,
    stage: &dyn Stage,
    plan: &Plan,
    log_epoch: u32,
) -> Result<(Growth, Option<Joined>), FactsError> {
    let (id, store) = (questions.id, questions.store);
    let partitions = questions.partitions().await?;
    if !stage.states_progress() {
        return Ok((Growth::at_start(id.partition, log_epoch, partitions, &[]), None));
    }
    let state = async |counted: i32, watermark_ms: i64| {
        let at = Progress {
            id: id.clone(),
            log_epoch,
            partitions: counted,
            // What is deleted before it begins is a gap, also if this is read again by a later attempt.
            aggregated_end: plan.gap.map_or(plan.start, |gap| gap.start),
            watermark_ms,
            write_epoch: 0,
        };
        progress::insert(stage, store, &at, now_ms()).await
    };
    let stated = progress::read_all(store, &id.topic).await?;
    let joining = match plan.beginning {
        Some(_) => Joining::of(id.partition, &stated),
        None => Joining::Counts,
    };
    match joining {
        Joining::Counts => Ok((Growth::at_start(id.partition, log_epoch, partitions, &stated), None)),
        Joining::Waits { counted, partition } => {
            if !growth::is_announced(id.partition, &stated) {
                state(counted, 0).await?;
            }
            Err(FactsError::NotCounted { older: partition })
        }
        Joining::Joins { counted, counts } => {
            state(counts, growth::stated_by(counted, &stated)).await?;
            // What was claimed without it until then is at most what the others have stated now. Others that were added
            // after the first question may count by now.
            let partitions = questions.partitions().await?;
            let stated = progress::read_all(store, &id.topic).await?;
            let joined = Joined {
                counted,
                stated_ms: growth::stated_by(counted, &stated),
            };
            let growth = Growth::at_join(id.partition, log_epoch, partitions, &stated);
            if growth.counted > counts {
                // Others that were added at the same time wait for that.
                state(growth.counted, joined.stated_ms).await?;
            }
            Ok((growth, Some(joined)))
        }
    }
}
