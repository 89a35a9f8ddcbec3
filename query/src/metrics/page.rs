//! The rows of one page of a question about metrics: from memory where they are still right, else from the store.
//!
//! Enters: a question. Leaves: its rows in order, and the cursor of the next page. Only a whole span that fits in one page is
//! remembered; any other page, a question about the past (`as_of`) and fresh rows come from the store every time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::instant::{Instant, Span};
use crate::api::page::Page;
use crate::api::{Api, Problem, RequestId};
use crate::metrics::fresh::RawTail;
use crate::metrics::memory::{KeptRows, PartVersion, StoredPart};
use crate::metrics::point::StoredPoint;
use crate::metrics::question::Question;
use crate::metrics::selection::{PointKey, Selection};
use crate::store::TenantSelect;

/// The rows of a page, and where the next one begins.
pub type Rows = (Vec<Arc<StoredPoint>>, Option<String>);

/// More holes in what is remembered are filled by one statement over all of them.
const STATEMENTS_MAX: usize = 4;

/// The page of a question.
pub async fn page(
    api: &Api,
    request: &RequestId,
    question: &Question,
    tail: Option<&RawTail>,
) -> Result<Rows, Problem> {
    let selection = &question.selection;
    let is_of_now = tail.is_none() && selection.as_of().is_none();
    if is_of_now && selection.may_be_one_page() && !api.memory.is_off() {
        let rows = remembered(api, request, question).await?;
        let bytes = rows.iter().flatten().map(|row| row.bytes()).sum::<usize>();
        if let Some(rows) = rows
            && rows.len() <= selection.limit() as usize
            && bytes <= api.config.limits.page_bytes_max
        {
            return Ok((rows, None));
        }
    }
    let end: Option<PointKey> = match question.select_end() {
        Some(select) => api.store.first(request, &select).await?,
        None => None,
    };
    stored(api, request, selection, &question.select(end.as_ref(), tail)).await
}

/// The page that a statement gives, which asks for a row more than a page has.
pub async fn stored(
    api: &Api,
    request: &RequestId,
    selection: &Selection,
    select: &TenantSelect,
) -> Result<Rows, Problem> {
    let mut page = Page::new(selection.limit(), api.config.limits.page_bytes_max);
    let take = |point: StoredPoint| {
        let bytes = point.bytes();
        page.push(Arc::new(point), bytes)
    };
    api.store.rows(request, select, take).await?;
    let last = page.continues_after().map(|point| point.key());
    let next_cursor = last.map(|key| selection.cursor_after(&key)).transpose()?;
    Ok((page.into_rows(), next_cursor))
}

/// A part of the span.
struct Part {
    span: Span,
    select: TenantSelect,
    version: PartVersion,
    rows: Option<KeptRows>,
}

/// All rows of the span, part by part; `None` where they are likely to be more than a page, or where the store cuts days in another
/// way than we do.
async fn remembered(
    api: &Api,
    request: &RequestId,
    question: &Question,
) -> Result<Option<Vec<Arc<StoredPoint>>>, Problem> {
    let selection = &question.selection;
    let Some(cut) = selection.steps.parts().cut() else {
        return Ok(None);
    };
    let stored: Vec<StoredPart> = api.store.collect(request, &question.select_parts()).await?;
    let partials: u64 = stored.iter().map(|part| part.partials).sum();
    if partials > selection.limit().into() && !selection.is_one_page() {
        return Ok(None);
    }
    let version = |part: StoredPart| (Instant::from_seconds(part.part), part.version());
    let mut versions: HashMap<Instant, PartVersion> = stored.into_iter().map(version).collect();
    let mut parts = Vec::new();
    for (start, span) in cut {
        // A part without a version has no rows.
        let Some(version) = versions.remove(&start) else {
            continue;
        };
        let select = question.select_span(span);
        let rows = api.memory.get(&select, version);
        parts.push(Part {
            span,
            select,
            version,
            rows,
        });
    }
    if !versions.is_empty() {
        return Ok(None);
    }
    if !fill(api, request, question, &mut parts).await? {
        return Ok(None);
    }
    let mut rows: Vec<Arc<StoredPoint>> = parts
        .iter()
        .filter_map(|part| part.rows.as_deref())
        .flatten()
        .cloned()
        .collect();
    // Parts follow each other in time, and rows are ordered by metric first.
    if selection.parameters.metric_name.len() > 1 {
        rows.sort_by(|one, other| one.order().cmp(&other.order()));
    }
    Ok(Some(rows))
}

/// Asks for the parts that are not remembered, those beside each other in one statement. False where they are more than a page.
async fn fill(api: &Api, request: &RequestId, question: &Question, parts: &mut [Part]) -> Result<bool, Problem> {
    for run in holes(parts) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let span = Span {
            from: first.span.from,
            to: last.span.to,
        };
        let limit = question.selection.limit();
        let select = question.select_span(span).limit(limit + 1);
        let rows: Vec<StoredPoint> = api.store.collect(request, &select).await?;
        if rows.len() > limit as usize {
            return Ok(false);
        }
        let rows: Vec<Arc<StoredPoint>> = rows.into_iter().map(Arc::new).collect();
        for part in run {
            let within =
                |row: &&Arc<StoredPoint>| Some(row.start()) >= part.span.from && Some(row.start()) < part.span.to;
            let rows: KeptRows = rows.iter().filter(within).cloned().collect();
            api.memory.put(&part.select, part.version, Arc::clone(&rows));
            part.rows = Some(rows);
        }
    }
    Ok(true)
}

/// Parts beside each other that are not remembered; where there are many such runs, all parts as one.
fn holes(parts: &mut [Part]) -> Vec<&mut [Part]> {
    let beside = |one: &Part, next: &Part| one.rows.is_none() == next.rows.is_none();
    let is_hole = |run: &&[Part]| run[0].rows.is_none();
    if parts.chunk_by(beside).filter(is_hole).count() > STATEMENTS_MAX {
        return vec![parts];
    }
    let runs = parts.chunk_by_mut(beside);
    runs.filter(|run| run[0].rows.is_none()).collect()
}
