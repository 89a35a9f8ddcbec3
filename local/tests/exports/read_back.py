"""Reads an export with pyarrow, csv and json, and prints its rows, one JSON object a line, in the order of the files."""
import csv, datetime, gzip, io, json, pathlib, sys
import pyarrow, pyarrow.parquet

folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
csv.field_size_limit(1 << 30)


def micros(value):
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return (value - EPOCH) // datetime.timedelta(microseconds=1)


def opened(path):
    name = path.name
    if name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    if name.endswith(".zst"):
        raw = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
        return io.TextIOWrapper(io.BytesIO(raw.read()), encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")


def rows(path):
    if path.suffix == ".parquet":
        yield from pyarrow.parquet.read_table(path).to_pylist()
    elif ".csv" in path.name:
        for row in csv.DictReader(opened(path)):
            row["metadata"] = json.loads(row["metadata"])
            for name in ("log_epoch", "kafka_partition", "kafka_offset"):
                row[name] = int(row[name])
            yield row
    else:
        for line in opened(path):
            yield json.loads(line)


for file in manifest["files"]:
    for row in rows(folder / file["name"]):
        row["metadata"] = dict(row["metadata"])
        for name in ("occurred_at", "kafka_timestamp", "inserted_at"):
            row[name] = micros(row[name])
        print(json.dumps(row, sort_keys=True, ensure_ascii=False))
