//! Where in time a page of events is searched for first.
//!
//! The engine reads the skip indexes of all parts that a statement may touch before the first row, so a page whose
//! events are all of last month would pay for the whole history. A search therefore goes through time in stretches, in
//! the order of the page, until the page is full: the first has a few million rows and each further one more, so that a
//! search that finds nothing costs a third more, in a handful of statements.
//!
//! Guarantees: together, the stretches are the requested span, without gap or overlap. The known months only decide
//! where to cut: outdated knowledge costs time, but never loses an event. Pure.

use crate::api::instant::{Instant, Span};
use crate::audit::months::{MonthRows, bounds};
use crate::audit::question::Order;

/// Minimum rows of the first stretch: what can be searched in tens of milliseconds.
const FIRST_ROWS: u64 = 2_000_000;
/// A stretch has at least this many times the rows of all stretches before it.
const GROWTH: u64 = 3;

/// The stretches of a span, in the order of a page.
pub fn stretches(months: &[MonthRows], span: Span, order: Order) -> Vec<Span> {
    let is_inside = |month: &&MonthRows| {
        let [from, to] = bounds(month.month).map(Instant::from_micros);
        span.from.is_none_or(|begin| begin < to) && span.to.is_none_or(|end| from < end)
    };
    let mut inside: Vec<&MonthRows> = months.iter().filter(is_inside).collect();
    if order == Order::Newest {
        inside.reverse();
    }
    inside.pop(); // there is nothing to cut after the last one
    let (mut rest, mut stretches) = (span, Vec::new());
    let (mut rows, mut wanted) = (0, FIRST_ROWS);
    for month in inside {
        rows += month.rows;
        if rows < wanted {
            continue;
        }
        wanted = rows * (1 + GROWTH);
        let [from, to] = bounds(month.month).map(|micros| Some(Instant::from_micros(micros)));
        let (stretch, behind) = match order {
            Order::Newest => (Span { from, ..rest }, Span { to: from, ..rest }),
            Order::Oldest => (Span { to, ..rest }, Span { from: to, ..rest }),
        };
        stretches.push(stretch);
        rest = behind;
    }
    stretches.push(rest);
    stretches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn month() -> impl Strategy<Value = u32> {
        (1970_u32..2100, 1_u32..=12).prop_map(|(year, month)| year * 100 + month)
    }

    fn moment() -> impl Strategy<Value = Option<Instant>> {
        let near_a_month = (month(), -1_i64..=1).prop_map(|(month, by)| Instant::from_micros(bounds(month)[0] + by));
        prop::option::of(near_a_month)
    }

    proptest! {
        #[test]
        fn stretches_are_the_span_in_order_whatever_is_known(
            months in prop::collection::btree_map(month(), 0_u64..20_000_000, 0..60),
            ends in (moment(), moment()),
            newest: bool,
        ) {
            let Ok(span) = Span::new(ends.0, ends.1) else { return Ok(()) };
            let months: Vec<_> = months.into_iter().map(|(month, rows)| MonthRows { month, rows }).collect();
            let order = if newest { Order::Newest } else { Order::Oldest };
            let mut stretches = stretches(&months, span, order);
            if newest {
                stretches.reverse();
            }
            prop_assert_eq!(stretches.first().unwrap().from, span.from);
            prop_assert_eq!(stretches.last().unwrap().to, span.to);
            for pair in stretches.windows(2) {
                prop_assert!(pair[0].to.is_some() && pair[0].to == pair[1].from);
            }
            for stretch in &stretches {
                prop_assert!(Span::new(stretch.from, stretch.to).is_ok(), "{:?} is empty", stretch);
            }
        }
    }

    #[test]
    fn each_stretch_has_more_rows_than_all_before_it() {
        let months: Vec<_> = (1..=12)
            .map(|month| MonthRows {
                month: 202600 + month,
                rows: 1_000_000,
            })
            .collect();
        let first_of = |month: u32| Some(Instant::from_micros(bounds(202600 + month)[0]));
        let cuts = |order| {
            let stretches = stretches(&months, Span::default(), order);
            stretches
                .iter()
                .map(|stretch| (stretch.from, stretch.to))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            cuts(Order::Newest),
            [(first_of(11), None), (first_of(5), first_of(11)), (None, first_of(5))]
        );
        assert_eq!(
            cuts(Order::Oldest),
            [(None, first_of(3)), (first_of(3), first_of(9)), (first_of(9), None)]
        );
        assert_eq!(
            stretches(&months[..2], Span::default(), Order::Newest),
            [Span::default()]
        );
    }
}
