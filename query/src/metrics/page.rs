//! The rows of one page of a question about metrics: from memory where they are still right, else from the store.
//!
//! Enters: a question. Leaves: its rows in order, and the cursor of the next page. Only a whole span that fits in one page is
//! remembered; any other page, a question about the past (`as_of`) and fresh rows come from the store every time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::instant::{Instant, Span};
use crate::api::page::Page;
use crate::api::{Api, Problem, RequestId};
use crate::metrics::epochs::Epochs;
use crate::metrics::fresh::RawTail;
use crate::metrics::look::{Contents, Look};
use crate::metrics::memory::{Known, KnownVersion, PartId, PartVersion, StoredPart};
use crate::metrics::point::StoredPoint;
use crate::metrics::points::{Account, PointRows, Points, SeriesSet};
use crate::metrics::question::Question;
use crate::metrics::selection::{PointKey, Selection};
use crate::store::TenantSelect;

/// The rows of a page, and where the next one begins.
pub type Rows = (PointRows, Option<String>);

/// More holes in what is remembered are filled by one statement over all of them.
const STATEMENTS_MAX: usize = 4;

/// The page of a question about now, of which a look at the store was taken before.
pub async fn page_of_now(api: &Api, request: &RequestId, question: &Question, look: &Look) -> Result<Rows, Problem> {
    let selection = &question.selection;
    if selection.may_be_one_page()
        && !api.memory.is_off()
        && let Some(rows) = remembered(api, request, question, look).await?
    {
        return Ok((rows, None));
    }
    page(api, request, question, None).await
}

/// The page of a question, from the store.
pub async fn page(
    api: &Api,
    request: &RequestId,
    question: &Question,
    tail: Option<&RawTail>,
) -> Result<Rows, Problem> {
    let end: Option<PointKey> = match question.select_end() {
        Some(select) => api.store.first(request, &select).await?,
        None => None,
    };
    let select = question.select(end.as_ref(), tail);
    let (points, next_cursor) = stored(api, request, &question.selection, &select).await?;
    Ok((points.into(), next_cursor))
}

/// The page that a statement gives, which asks for a row more than a page has.
pub async fn stored(
    api: &Api,
    request: &RequestId,
    selection: &Selection,
    select: &TenantSelect,
) -> Result<(Points, Option<String>), Problem> {
    let mut page = Page::new(selection.limit(), api.config.limits.page_bytes_max);
    let take = |point: StoredPoint| {
        let bytes = point.bytes();
        page.push(point, bytes)
    };
    api.store.rows(request, select, take).await?;
    let last = page.continues_after().map(|point| point.key());
    let next_cursor = last.map(|key| selection.cursor_after(&key)).transpose()?;
    let mut series = SeriesSet::new(selection.group_names(), Account::default());
    Ok((Points::new(page.into_rows(), &mut series), next_cursor))
}

/// A part of the span.
struct Part {
    start: Instant,
    span: Span,
    id: PartId,
    /// What its hours are made of now.
    contents: Contents,
    known: Option<Known>,
}

/// A part whose rows have to be merged, and the version they will be of.
type Hole<'a> = (&'a mut Part, KnownVersion);

impl Part {
    fn learn(&mut self, api: &Api, version: KnownVersion, rows: Arc<Points>) {
        let known = Known {
            contents: self.contents,
            version,
            rows,
        };
        api.memory.put(self.id, known.clone());
        self.known = Some(known);
    }

    /// Its rows, where they are known to be those of now.
    fn rows(&self) -> Option<&Arc<Points>> {
        let known = self.known.as_ref().filter(|known| known.contents == self.contents);
        known.map(|known| &known.rows)
    }
}

/// All rows of the span, part by part; `None` where they are more than a page or likely to be, or where the store cuts days in another
/// way than we do.
async fn remembered(
    api: &Api,
    request: &RequestId,
    question: &Question,
    look: &Look,
) -> Result<Option<PointRows>, Problem> {
    let Some(mut parts) = recalled(api, question, look) else {
        return Ok(None);
    };
    let mut epochs = look.epochs();
    if parts.iter().any(|part| part.rows().is_none()) {
        let mut turn = api.memory.try_turn(question.id());
        if turn.is_none() {
            turn = api.memory.turn(question.id()).await;
            // Whoever had the turn may have merged just this, from what was stored later than when we looked.
            let look = api.look(request).await?;
            let Some(again) = recalled(api, question, &look) else {
                return Ok(None);
            };
            (parts, epochs) = (again, look.epochs());
        }
        let merging = Merging {
            api,
            request,
            question,
            epochs,
        };
        let is_page = merging.complete(&mut parts).await?;
        drop(turn);
        if !is_page {
            return Ok(None);
        }
    }
    let selection = &question.selection;
    let rows: Vec<Arc<Points>> = parts.iter().filter_map(|part| part.rows().cloned()).collect();
    let bytes = rows.iter().map(|part| part.stored_bytes()).sum::<usize>();
    let rows = PointRows::new(rows, selection.parameters.metric_name.len() == 1);
    let is_one_page = rows.len() <= selection.limit() as usize && bytes <= api.config.limits.page_bytes_max;
    Ok(is_one_page.then_some(rows))
}

/// The parts of the span, with what is remembered of them.
fn recalled(api: &Api, question: &Question, look: &Look) -> Option<Vec<Part>> {
    let id = question.id();
    let cut = question.selection.steps.parts().cut()?;
    let ids: Vec<PartId> = cut.iter().map(|(_, span)| PartId::new(id, *span)).collect();
    let known = api.memory.get(&ids);
    let parts = cut.into_iter().zip(ids).zip(known);
    let part = |(((start, span), id), known)| {
        Some(Part {
            start,
            span,
            id,
            contents: look.contents(span)?,
            known,
        })
    };
    parts.map(part).collect()
}

/// Where rows that are not known are merged: for one question, by one rule of epochs.
struct Merging<'a> {
    api: &'a Api,
    request: &'a RequestId,
    question: &'a Question,
    epochs: Epochs,
}

impl Merging<'_> {
    /// Brings parts up to what is stored: those whose version is still the same are kept, others are merged. False where that may be more
    /// than a page, or where days are cut in another way.
    async fn complete(&self, parts: &mut [Part]) -> Result<bool, Problem> {
        let is_stale = |part: &Part| part.rows().is_none();
        let (Some(first), Some(last)) = (parts.iter().position(is_stale), parts.iter().rposition(is_stale)) else {
            return Ok(true);
        };
        if first == last && parts.len() > 1 {
            // What comes is of now, most often: the newest part alone is not known, and there is nothing to ask before it is merged.
            return self.merge(vec![(&mut parts[first], KnownVersion::NotAsked)]).await;
        }
        let parts = &mut parts[first..=last];
        let select = self.question.select_parts(span_of(&*parts), self.epochs);
        let stored: Vec<StoredPart> = self.api.store.collect(self.request, &select).await?;
        let partials: u64 = stored.iter().map(|part| part.partials).sum();
        let selection = &self.question.selection;
        if partials > selection.limit().into() && !selection.is_one_page() {
            return Ok(false);
        }
        let version = |part: StoredPart| (Instant::from_seconds(part.part), part.version());
        let mut versions: HashMap<Instant, PartVersion> = stored.into_iter().map(version).collect();
        let mut runs: Vec<Vec<Hole<'_>>> = vec![Vec::new()];
        for part in parts {
            let stored = versions.remove(&part.start);
            let version = KnownVersion::Of(stored);
            let known = part.known.take().filter(|known| known.version == version);
            match (known, stored) {
                (Some(known), _) => part.learn(self.api, version, known.rows),
                (None, None) => part.learn(self.api, version, Arc::default()),
                (None, Some(_)) => {
                    if let Some(run) = runs.last_mut() {
                        run.push((part, version));
                    }
                    continue;
                }
            }
            runs.push(Vec::new());
        }
        if !versions.is_empty() {
            return Ok(false);
        }
        runs.retain(|run| !run.is_empty());
        if runs.len() > STATEMENTS_MAX {
            runs = vec![runs.into_iter().flatten().collect()];
        }
        for run in runs {
            if !self.merge(run).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Merges holes that follow each other in time, in one statement; what is between them is left alone. False where they are more than a
    /// page, or where the rows of a single one begin elsewhere: days are cut in another way then.
    async fn merge(&self, mut holes: Vec<Hole<'_>>) -> Result<bool, Problem> {
        let limit = self.question.selection.limit();
        let span = span_of(holes.iter().map(|(part, _)| &**part));
        let select = self.question.select_span(span, self.epochs).limit(limit + 1);
        let rows: Vec<StoredPoint> = self.api.store.collect(self.request, &select).await?;
        if rows.len() > limit as usize {
            return Ok(false);
        }
        let mut series = SeriesSet::new(self.question.selection.group_names(), self.api.memory.series_account());
        let mut merged: Vec<Points> = holes.iter().map(|_| Points::default()).collect();
        for row in rows {
            let start = Some(Instant::from_seconds(row.start_s()));
            let behind = holes.partition_point(|(part, _)| part.span.from <= start);
            let Some(place) = behind.checked_sub(1).filter(|&place| start < holes[place].0.span.to) else {
                match holes.len() {
                    1 => return Ok(false),
                    _ => continue,
                }
            };
            merged[place].push(row, &mut series);
        }
        for ((part, version), mut points) in holes.iter_mut().zip(merged) {
            points.shrink();
            part.learn(self.api, *version, Arc::new(points));
        }
        Ok(true)
    }
}

/// From the beginning of the first part to the end of the last one.
fn span_of<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Span {
    let mut parts = parts.into_iter();
    let first = parts.next().map(|part| part.span).unwrap_or_default();
    let last = parts.last().map_or(first, |part| part.span);
    Span {
        from: first.from,
        to: last.to,
    }
}
