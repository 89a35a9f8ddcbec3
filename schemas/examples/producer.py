"""How a service in Python sends its records to Horolog: `producer.py HOST:PORT [TENANT]`.

Needs confluent-kafka and fastavro (requirements.txt). Records go out in Avro's single-object encoding: two magic bytes, the
Rabin fingerprint of the schema, then the record. The key decides the partition, and with it the order.
"""

import io
import json
import sys
import time
import uuid
from pathlib import Path

from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

AVRO = Path(__file__).resolve().parent.parent / "avro"


class Encoder:
    """Turns the records of one schema into payloads."""

    def __init__(self, name):
        schema = json.loads((AVRO / f"{name}.avsc").read_text())
        rabin = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        self.header = b"\xc3\x01" + bytes.fromhex(rabin)
        self.schema = parse_schema(schema)

    def encode(self, record):
        payload = io.BytesIO(self.header)
        payload.seek(len(self.header))
        schemaless_writer(payload, self.schema, record)  # fields with a default may be left out
        return payload.getvalue()


def report(error, message):
    if error is not None:
        sys.exit(f"not delivered: {error}")
    print(f"sent to {message.topic()}, partition {message.partition()}, offset {message.offset()}")


def main(bootstrap, tenant="demo"):
    # Idempotent: records that librdkafka resends after a lost response are stored once. The partitioner is that of Java
    # clients.
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "partitioner": "murmur2_random"}
    )
    now_us = time.time_ns() // 1000
    metric = {
        "tenant_id": tenant,
        "time": now_us,
        "metric_name": "http_request_duration",
        "metric_type": "histogram",  # one observation of a distribution
        "service_id": "checkout",
        "environment": "production",
        "value": 0.137,
        "unit": "s",
        "labels": {"route": "/pay"},
    }
    event = {
        "event_id": str(uuid.uuid4()),  # the same id again is the same event again
        "tenant_id": tenant,
        "occurred_at": now_us,
        "user_id": "ada.nilsen",
        "service_id": "checkout",
        "source": "api",
        "action": "voucher.create",
        "resource_type": "voucher",
        "resource_id": "SPRING-25",
        "new_value": json.dumps({"percent": 25}),
        "status": "success",
    }
    payload = Encoder("metric_sample").encode(metric)
    producer.produce("metrics", payload, key=f"{tenant}/checkout", on_delivery=report)
    payload = Encoder("audit_event").encode(event)
    producer.produce("audit-events", payload, key=f"{tenant}/voucher/SPRING-25", on_delivery=report)
    if producer.flush(30) > 0:
        sys.exit(f"kafka at {bootstrap} did not acknowledge within 30 s")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: producer.py HOST:PORT [TENANT]")
    main(*sys.argv[1:])
