-- Functions for `merged_columns`, over the columns of `merged_partials`.
arrayReverse(mapKeys(negative)) as negative_indexes,
mapKeys(positive) as positive_indexes,
arrayCumSum(arrayConcat(arrayReverse(mapValues(negative)), [zero_count], mapValues(positive))) as cumulative,
-- The representative of the bucket at a position: negatives first, then zero, then positives.
(position) -> multiIf(
    position <= length(negative_indexes), -exp2(negative_indexes[position] / 64),
    position = length(negative_indexes) + 1, 0.,
    exp2(positive_indexes[position - length(negative_indexes) - 1] / 64)
) * 2 / (1 + exp2(-1 / 64)) as representative,
(q) -> greatest(min, least(max, representative(
    arrayFirstIndex(reached -> reached > least(toUInt64(q * count), count - 1), cumulative)
))) as quantile_at
