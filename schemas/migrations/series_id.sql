-- Identity of a counter's series within tenant and metric, from raw rows `m`. Never 0, which stands for folded series.
greatest(1, sipHash64(m.service_id, m.plugin_id, m.environment, m.team_id, m.user_id, m.unit, mapSort(m.labels)))
