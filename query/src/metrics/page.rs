//! The rows of one page of a question about metrics: from the cache if they are still valid, else from the store.
//!
//! Enters: a question. Leaves: its rows in order, and the cursor of the next page. Only a whole span that fits one page
//! is cached; any other page, a question about the past (`as_of`) and fresh rows are always read from the store.

use std::collections::HashMap;
use std::sync::Arc;

use clickhouse::{RowOwned, RowRead};

use crate::api::instant::{Instant, Span};
use crate::api::{Problem, RequestId};
use crate::handler::Api;
use crate::metrics::completeness::Completeness;
use crate::metrics::epochs::Epochs;
use crate::metrics::fresh::RawTail;
use crate::metrics::look::{Contents, Look};
use crate::metrics::memory::{Known, KnownVersion, PartId, StoredPart};
use crate::metrics::point::{MergedPoint, StoredPoint};
use crate::metrics::points::{Account, PointRows, Points, SeriesSet};
use crate::metrics::question::{Question, Source};
use crate::metrics::selection::{PointKey, Selection};
use crate::store::TenantSelect;

/// The rows of a page, and where the next one begins.
pub type Rows = (PointRows, Option<String>);

/// If there are more separate runs of holes than this, one statement reads over all of them.
const STATEMENTS_MAX: usize = 4;

/// The page of a question about now, after a look at the store.
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
    let (points, next_cursor) = stored::<MergedPoint>(api, request, &question.selection, select).await?;
    Ok((points.into(), next_cursor))
}

/// The page that a statement returns.
pub async fn stored<S: RowOwned + RowRead + Into<StoredPoint> + Send>(
    api: &Api,
    request: &RequestId,
    selection: &Selection,
    select: TenantSelect,
) -> Result<(Points, Option<String>), Problem> {
    let page = api
        .page::<S, _>(request, select, selection.limit(), StoredPoint::bytes)
        .await?;
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

/// A part whose rows must be merged, and the version that they will have, if it was asked for.
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

    /// Its rows, if they are known to be current.
    fn rows(&self) -> Option<&Arc<Points>> {
        let known = self.known.as_ref().filter(|known| known.contents == self.contents);
        known.map(|known| &known.rows)
    }
}

/// All rows of the span, part by part; `None` if they are more than a page or likely to be, or if the store splits days
/// differently.
async fn remembered(
    api: &Api,
    request: &RequestId,
    question: &Question,
    look: &Look,
) -> Result<Option<PointRows>, Problem> {
    let Some(mut parts) = recalled(api, question, look) else {
        return Ok(None);
    };
    if parts.iter().any(|part| part.rows().is_none()) {
        let newer;
        let mut look = look;
        let mut turn = api.memory.try_turn(question.id());
        if turn.is_none() {
            turn = api.memory.turn(question.id()).await;
            // Whoever had the turn may have merged exactly this, from data stored after our look.
            newer = api.look(request).await?;
            look = &newer;
            let Some(again) = recalled(api, question, look) else {
                return Ok(None);
            };
            parts = again;
        }
        let merging = Merging {
            api,
            request,
            question,
            look,
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

/// The parts of the span, with what is cached of them.
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

/// The context for merging missing rows: one question, as of one look.
struct Merging<'a> {
    api: &'a Api,
    request: &'a RequestId,
    question: &'a Question,
    look: &'a Look,
}

impl Merging<'_> {
    /// Brings parts up to date, in as few statements as can be. False if they may be more than a page, or if days are
    /// split differently.
    async fn complete(&self, parts: &mut [Part]) -> Result<bool, Problem> {
        let is_stale = |part: &Part| part.rows().is_none();
        let (Some(first), Some(last)) = (parts.iter().position(is_stale), parts.iter().rposition(is_stale)) else {
            return Ok(true);
        };
        let is_only_one_of_many = first == last && parts.len() > 1;
        let parts = &mut parts[first..=last];
        // The most common case, where mostly the newest part is missing, and that of a new chart: there is nothing to
        // ask before they are merged.
        if is_only_one_of_many || self.is_all_unknown(parts) {
            return self.merge(unasked(parts)).await;
        }
        match parts.split_at_mut(parts.len() - 1) {
            (earlier, newest) if !earlier.is_empty() && self.is_open(newest) => {
                let both = tokio::try_join!(self.compared(earlier), self.merge(unasked(newest)))?;
                Ok(both == (true, true))
            }
            _ => self.compared(parts).await,
        }
    }

    /// Whether versions and roll-ups would tell nothing of any of the parts, which are likely to be one page, and their
    /// rows will tell their versions.
    fn is_all_unknown(&self, parts: &[Part]) -> bool {
        let selection = &self.question.selection;
        let is_of_hours = selection.steps.are_hours() && self.question.rolled_up().is_none();
        let may_be = is_of_hours && selection.is_one_page() && self.look.epochs() == Epochs::Unrebuilt;
        may_be && parts.iter().all(|part| part.known.is_none())
    }

    /// Whether parts, of one page, are not over, so that they are not rolled up and probably have new samples. The span
    /// may end earlier.
    fn is_open(&self, parts: &[Part]) -> bool {
        let through = Completeness::of(&self.look.progress).through;
        let whole = self.question.selection.steps.parts();
        let is_open = |part: &Part| through.is_some() && Some(whole.end_of(part.start)) > through;
        self.question.selection.is_one_page() && parts.iter().all(is_open)
    }

    /// Brings parts up to date: those whose version has not changed are kept, others are taken from the daily roll-ups
    /// where these have all their samples, the rest is merged. False as for [`Self::complete`].
    async fn compared(&self, parts: &mut [Part]) -> Result<bool, Problem> {
        let Some(rolled_up) = self.rolled_up(parts).await? else {
            return Ok(false);
        };
        let spans: Vec<Span> = parts.iter().map(|part| part.span).collect();
        let select = self.question.select_parts(hull(&spans), self.look.epochs());
        let stored: Vec<StoredPart> = self.api.store.collect(self.request, &select).await?;
        let partials: u64 = stored.iter().map(|part| part.partials).sum();
        let selection = &self.question.selection;
        if partials > selection.limit().into() && !selection.is_one_page() {
            return Ok(false);
        }
        let Some(runs) = self.holes(parts, stored, rolled_up) else {
            return Ok(false);
        };
        for run in runs {
            if !self.merge(run).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is left to merge once the versions are known: runs of adjacent holes, few enough for a statement each.
    /// `None` if the store has samples in a part that is none of these, because it splits days differently.
    fn holes<'a>(
        &self,
        parts: &'a mut [Part],
        stored: Vec<StoredPart>,
        mut rolled_up: HashMap<Instant, Points>,
    ) -> Option<Vec<Vec<Hole<'a>>>> {
        let at_start = |part: StoredPart| (Instant::from_seconds(part.part), part);
        let mut stored: HashMap<Instant, StoredPart> = stored.into_iter().map(at_start).collect();
        let mut runs: Vec<Vec<Hole<'a>>> = vec![Vec::new()];
        for part in parts {
            let stored = stored.remove(&part.start);
            let version = KnownVersion::Of(stored.map(|stored| stored.version()));
            let known = part.known.take().filter(|known| known.version == version);
            let samples = stored.map_or(0, |stored| stored.samples);
            // Roll-ups were read earlier: if the total of samples is equal, so is that of each key, since samples are
            // only ever added.
            let rolled_up = rolled_up
                .remove(&part.start)
                .filter(|points| points.samples() == samples);
            match known.map(|known| known.rows).or(rolled_up.map(Arc::new)) {
                Some(rows) => part.learn(self.api, version, rows),
                None if samples == 0 => part.learn(self.api, version, Arc::default()),
                None => {
                    if let Some(run) = runs.last_mut() {
                        run.push((part, version));
                    }
                    continue;
                }
            }
            runs.push(Vec::new());
        }
        if !stored.is_empty() {
            return None;
        }
        runs.retain(|run| !run.is_empty());
        if runs.len() > STATEMENTS_MAX {
            runs = vec![runs.into_iter().flatten().collect()];
        }
        Some(runs)
    }

    /// Roll-ups of the parts of which nothing is known; empty if rows cannot be made of any. `None` if they are more than
    /// a page or likely to be.
    async fn rolled_up(&self, parts: &[Part]) -> Result<Option<HashMap<Instant, Points>>, Problem> {
        let selection = &self.question.selection;
        let tenant = selection.caller.tenant();
        let may_be = |part: &&Part| part.known.is_none() && !self.look.is_rebuilt(tenant, part.span);
        let wanted: Vec<&Part> = parts.iter().filter(may_be).collect();
        let source = self.question.rolled_up().filter(|_| selection.is_one_page());
        let (Some(source), false) = (source, wanted.is_empty()) else {
            return Ok(Some(HashMap::new()));
        };
        let spans: Vec<Span> = wanted.iter().map(|part| part.span).collect();
        let points = self.points_of(&spans, source).await?;
        Ok(points.map(|points| wanted.iter().map(|part| part.start).zip(points).collect()))
    }

    /// Merges adjacent holes in one statement, skipping what is between them. False if they are more than a page, or if
    /// the rows of a single one begin elsewhere, because days are split differently.
    async fn merge(&self, holes: Vec<Hole<'_>>) -> Result<bool, Problem> {
        let spans: Vec<Span> = holes.iter().map(|(part, _)| part.span).collect();
        let Some(points) = self.points_of(&spans, Source::Hours(self.look.epochs())).await? else {
            return Ok(false);
        };
        let is_unrebuilt = self.look.epochs() == Epochs::Unrebuilt;
        for ((part, version), points) in holes.into_iter().zip(points) {
            let version = match version {
                KnownVersion::NotAsked if is_unrebuilt => KnownVersion::of_unrebuilt(points.samples()),
                known => known,
            };
            part.learn(self.api, version, Arc::new(points));
        }
        Ok(true)
    }

    /// The rows of each span in order of time, from one statement over all of them.
    async fn points_of(&self, spans: &[Span], source: Source) -> Result<Option<Vec<Points>>, Problem> {
        let limit = self.question.selection.limit();
        let select = self.question.select_span(hull(spans), source);
        let page = self
            .api
            .page::<MergedPoint, _>(self.request, select, limit, StoredPoint::bytes)
            .await?;
        if page.has_more() {
            return Ok(None);
        }
        let mut series = SeriesSet::new(self.question.selection.group_names(), self.api.memory.series_account());
        let mut points: Vec<Points> = spans.iter().map(|_| Points::default()).collect();
        for row in page.into_rows() {
            let start = Some(Instant::from_seconds(row.start_s()));
            let behind = spans.partition_point(|span| span.from <= start);
            match behind.checked_sub(1).filter(|&place| start < spans[place].to) {
                Some(place) => points[place].push(row, &mut series),
                None if spans.len() == 1 => return Ok(None),
                None => {}
            }
        }
        points.iter_mut().for_each(Points::shrink);
        Ok(Some(points))
    }
}

/// Parts to merge without asking for their versions.
fn unasked(parts: &mut [Part]) -> Vec<Hole<'_>> {
    parts.iter_mut().map(|part| (part, KnownVersion::NotAsked)).collect()
}

/// From the beginning of the first span to the end of the last one.
fn hull(spans: &[Span]) -> Span {
    Span {
        from: spans.first().and_then(|span| span.from),
        to: spans.last().and_then(|span| span.to),
    }
}
