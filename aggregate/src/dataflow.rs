//! The timely dataflow of one worker: chunks in, hourly aggregates of whole batches out.
//!
//! ```text
//! chunks ──► preaggregate ──exchange by key──► combine ──exchange by batch──► gather
//! ```
//! A timestamp is the number of a batch. An operator that needs a whole batch keeps what it has until its frontier has
//! passed that number: then no worker has anything more for it. No clock, no I/O, no randomness: the output depends
//! only on the chunks and their numbers, not on the number of workers or their timing.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::source;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::SyncActivator;

use crate::hours::Hours;
use crate::partial::{Partial, Preaggregation};
use crate::samples::Samples;

/// What a worker's inbox holds. Every end goes to all workers, so they agree on the number of the current batch.
pub(crate) enum Feed<C> {
    /// A chunk of the current batch, with its number.
    Chunk(u32, C),
    /// The current batch has no more chunks.
    BatchEnd,
}

/// The chunks of the inbox, at the number of their batch. One at a time, so that waiting chunks wait in the bounded
/// inbox.
pub(crate) fn chunks<'scope, C: 'static>(
    scope: Scope<'scope, u64>,
    inbox: Receiver<Feed<C>>,
    ready: impl FnOnce(SyncActivator),
) -> StreamVec<'scope, u64, (u32, C)> {
    source::<_, CapacityContainerBuilder<_>, _, _>(scope, "chunks", |capability, info| {
        // Whoever fills the inbox wakes the operator; while there is input it stays active by itself.
        ready(scope.worker().sync_activator_for(info.address.to_vec()));
        let activator = scope.activator_for(info.address);
        let mut capability = Some(capability);
        move |output| {
            let Some(batch) = &mut capability else { return };
            match inbox.try_recv() {
                Ok(Feed::Chunk(number, chunk)) => output.session(batch).give((number, chunk)),
                Ok(Feed::BatchEnd) => batch.downgrade(&(batch.time() + 1)),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => capability = None,
            }
            activator.activate();
        }
    })
}

/// Decodes each chunk on its worker and sums it up by key.
pub(crate) fn preaggregate<'scope, C: 'static>(
    chunks: StreamVec<'scope, u64, (u32, C)>,
    mut decode: impl FnMut(C) -> Result<Samples, String> + 'static,
) -> StreamVec<'scope, u64, Partial> {
    let mut preaggregation = Preaggregation::new(chunks.scope().peers());
    chunks.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "preaggregate", |_, _| {
        move |input, output| {
            input.for_each_time(|batch, chunks| {
                let mut session = output.session(&batch);
                for (number, chunk) in chunks.flat_map(|chunks| chunks.drain(..)) {
                    match decode(chunk) {
                        Ok(samples) => session.give_iterator(preaggregation.run(number, &samples).into_iter()),
                        Err(failure) => session.give(Partial::failed(number, failure)),
                    }
                }
            });
        }
    })
}

/// Brings all partials of a key to one worker and makes aggregates of them once the batch is complete; with its number.
pub(crate) fn combine<'scope>(partials: StreamVec<'scope, u64, Partial>) -> StreamVec<'scope, u64, (u64, Hours)> {
    let mut waiting: BTreeMap<u64, Vec<Partial>> = BTreeMap::new();
    let by_key = Exchange::new(|partial: &Partial| partial.worker);
    partials.unary_notify::<CapacityContainerBuilder<_>, _, _>(
        by_key,
        "combine",
        None,
        move |input, output, complete| {
            input.for_each_time(|batch, partials| {
                waiting
                    .entry(*batch.time())
                    .or_default()
                    .extend(partials.flat_map(|partials| partials.drain(..)));
                complete.notify_at(batch.retain(output.output_index()));
            });
            complete.for_each(|batch, _, _| {
                let partials = waiting.remove(batch.time()).unwrap_or_default();
                output.session(&batch).give((*batch.time(), Hours::combine(partials)));
            });
        },
    )
}

/// Brings the aggregates of all workers together and hands them over, once per batch.
pub(crate) fn gather<'scope>(
    runs: StreamVec<'scope, u64, (u64, Hours)>,
    mut deliver: impl FnMut(u64, Hours) + 'static,
) {
    let mut waiting: BTreeMap<u64, Vec<Hours>> = BTreeMap::new();
    runs.sink(
        Exchange::new(|(batch, _): &(u64, Hours)| *batch),
        "gather",
        move |(input, frontier)| {
            input.for_each(|_, runs| {
                for (batch, hours) in runs.drain(..) {
                    waiting.entry(batch).or_default().push(hours);
                }
            });
            while let Some(first) = waiting.first_entry()
                && !frontier.less_equal(first.key())
            {
                let (batch, runs) = first.remove_entry();
                deliver(batch, Hours::fold(runs));
            }
        },
    );
}
