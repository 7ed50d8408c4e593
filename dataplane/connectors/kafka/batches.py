"""Messages of the client as a batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dataplane.connectors.streams.messages import Batch

if TYPE_CHECKING:
    from confluent_kafka import Message


def batch_of(taken: Sequence[Message]) -> Batch:
    """At least one message, with what stands beside each."""
    partitions = [each.partition() or 0 for each in taken]
    offsets = [each.offset() or 0 for each in taken]
    values = [each.value() for each in taken]
    times = [stamp[1] if (stamp := each.timestamp())[0] else None for each in taken]
    last = dict(zip(map(str, partitions), offsets, strict=True))
    counts = dict.fromkeys(last, 0)
    for each in partitions:
        counts[str(each)] += 1
    beside = {
        "_partition": pa.array(partitions, pa.int32()),
        "_offset": pa.array(offsets, pa.int64()),
        "_timestamp": pa.array(times, pa.int64()).cast(pa.timestamp("ms", "UTC")),
        "_key": pa.array([_text(each.key()) for each in taken], pa.string()),
        "_headers": pa.array([_headers(each.headers()) for each in taken], pa.string()),
    }
    return Batch(beside, values, last, counts, sum(map(len, taken)))


def _headers(given: Any) -> str | None:
    """The headers as a JSON object; of a name that comes twice a list."""
    if not given:
        return None
    found: dict[str, Any] = {}
    for name, value in given:
        text = _text(value)
        found[name] = (
            [*found[name], text]
            if isinstance(found.get(name), list)
            else ([found[name], text] if name in found else text)
        )
    return json.dumps(found, ensure_ascii=False)


def _text(value: Any) -> str | None:
    """Bytes as a text; those that are none stay visible as \\xNN."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
