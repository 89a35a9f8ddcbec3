// The health of the stages, from their progress in each partition: when a stage stored its newest batch of a topic,
// through when nothing is missing, and whether it falls behind another that reads the same topic. Pure.

/**
 * One row per stage and topic. `behind`: how much newer the records of another stage are, in seconds; `null` if no
 * other reads the topic.
 */
export function stageHealth(partitions) {
  const stages = Map.groupBy(partitions, (row) => `${row.stage} ${row.topic}`);
  return [...stages.values()].map((rows) => {
    const lags = rows.map((row) => lag(row, partitions)).filter((seconds) => seconds !== null);
    return {
      stage: rows[0].stage,
      topic: rows[0].topic,
      partitions: rows.length,
      newestBatch: latest(rows.map((row) => row.last_batch_at)),
      // An idle partition holds it back: it cannot be told from one that is behind.
      through: earliest(rows.map((row) => row.last_record_at)),
      behind: lags.length === 0 ? null : Math.max(...lags),
    };
  });
}

/** Each stage counts the lives of a log for itself: offsets of different ones are not compared. */
function lag(row, partitions) {
  const isSame = (other) => other.stage !== row.stage && other.topic === row.topic && other.partition === row.partition && other.log_epoch === row.log_epoch;
  const others = partitions.filter(isSame);
  const newer = others.filter((other) => other.end_offset > row.end_offset).map((other) => (Date.parse(other.last_record_at) - Date.parse(row.last_record_at)) / 1000);
  return others.length === 0 ? null : Math.max(0, ...newer);
}

const latest = (moments) => moments.reduce((one, other) => (Date.parse(other) > Date.parse(one) ? other : one));
const earliest = (moments) => moments.reduce((one, other) => (Date.parse(other) < Date.parse(one) ? other : one));
