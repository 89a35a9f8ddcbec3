//! Which partial aggregates count: the one place in this crate that knows the rule of epochs.
//!
//! Of an hour and a metric, with `k` the newest visible rebuild that covers both (0: none): those of the odd epoch `2k - 1`,
//! and those of every even epoch from `2k` on. The migration `rebuilds` says why; the view `visible_partials` is the same
//! rule for analysts. Here it can be asked as of a moment, too. Pure.

/// A condition on `metrics_hourly as r`.
pub const VISIBLE: &str = "r.epoch = 2 * (arrayMax(b -> if(\
    r.hour >= b.2 and r.hour < b.3 and (b.4 = '' or b.4 = r.tenant_id) and (b.5 = '' or b.5 = r.metric_name), b.1, 0), \
    (select groupArray((number, hour_from, hour_to, tenant_id, metric_name)) from rebuilds final where state = 'visible')\
    ) as rebuild) - 1 or (r.epoch % 2 = 0 and r.epoch >= 2 * rebuild)";

/// The same as it was at `{as_of:Int64}` (microseconds since 1970), and without what came late after that.
pub const VISIBLE_THEN: &str = "r.revised_at <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC') and (\
    r.epoch = 2 * (arrayMax(b -> if(\
    r.hour >= b.2 and r.hour < b.3 and (b.4 = '' or b.4 = r.tenant_id) and (b.5 = '' or b.5 = r.metric_name), b.1, 0), \
    (select groupArray((number, hour_from, hour_to, tenant_id, metric_name)) from rebuilds final \
    where state = 'visible' and visible_at <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC'))\
    ) as rebuild) - 1 or (r.epoch % 2 = 0 and r.epoch >= 2 * rebuild))";
