// How the stages do, from how far each is with each partition: when a service stored its newest batch of a topic, through when
// nothing is missing, and whether it falls behind another that reads the same topic. Pure.

/** One row a stage and topic. `behind`: how much newer are the records that another stage has, in seconds; `null` where no other reads the topic. */
export function stageHealth(partitions) {
  const stages = Map.groupBy(partitions, (row) => `${row.stage} ${row.topic}`);
  return [...stages.values()].map((rows) => {
    const lags = rows.map((row) => lag(row, partitions)).filter((seconds) => seconds !== null);
    return {
      stage: rows[0].stage,
      topic: rows[0].topic,
      partitions: rows.length,
      newestBatch: latest(rows.map((row) => row.last_batch_at)),
      // A partition to which nobody sends holds it back: nothing tells a silent one from one that is behind.
      through: earliest(rows.map((row) => row.last_record_at)),
      behind: lags.length === 0 ? null : Math.max(...lags),
    };
  });
}

/** Lives of a log are counted by each stage for itself: offsets of different ones are not compared. */
function lag(row, partitions) {
  const isSame = (other) => other.stage !== row.stage && other.topic === row.topic && other.partition === row.partition && other.log_epoch === row.log_epoch;
  const others = partitions.filter(isSame);
  const newer = others.filter((other) => other.end_offset > row.end_offset).map((other) => (Date.parse(other.last_record_at) - Date.parse(row.last_record_at)) / 1000);
  return others.length === 0 ? null : Math.max(0, ...newer);
}

const latest = (moments) => moments.reduce((one, other) => (Date.parse(other) > Date.parse(one) ? other : one));
const earliest = (moments) => moments.reduce((one, other) => (Date.parse(other) < Date.parse(one) ? other : one));
