// How the stages do, from how far each is with each partition: when a service stored its newest batch of a topic, through when
// nothing is missing, and whether it falls behind another that reads the same topic. Pure.

/** One row a stage and topic. `behind`: offsets that another stage has stored; `null` where no other reads the topic. */
export function stageHealth(partitions) {
  const stages = Map.groupBy(partitions, (row) => `${row.stage} ${row.topic}`);
  return [...stages.values()].map((rows) => {
    const lags = rows.map((row) => lag(row, partitions)).filter((offsets) => offsets !== null);
    return {
      stage: rows[0].stage,
      topic: rows[0].topic,
      partitions: rows.length,
      newestBatch: latest(rows.map((row) => row.last_batch_at)),
      // A partition to which nobody sends holds it back: nothing tells a silent one from one that is behind.
      through: earliest(rows.map((row) => row.last_record_at)),
      behind: lags.length === 0 ? null : lags.reduce((sum, offsets) => sum + offsets, 0),
    };
  });
}

/** Lives of a log are counted by each stage for itself: offsets of different ones are not compared. */
function lag(row, partitions) {
  const isSame = (other) => other.stage !== row.stage && other.topic === row.topic && other.partition === row.partition && other.log_epoch === row.log_epoch;
  const others = partitions.filter(isSame).map((other) => other.end_offset);
  return others.length === 0 ? null : Math.max(0, ...others.map((offset) => offset - row.end_offset));
}

const latest = (moments) => moments.reduce((one, other) => (Date.parse(other) > Date.parse(one) ? other : one));
const earliest = (moments) => moments.reduce((one, other) => (Date.parse(other) < Date.parse(one) ? other : one));
