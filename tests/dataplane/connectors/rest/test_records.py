"""The records of an answer, however large it may be."""

from __future__ import annotations

import json
import random
import tracemalloc
from dataclasses import dataclass

from dataplane.connectors.rest.client import Answered
from dataplane.connectors.rest.params import RestParams
from dataplane.connectors.rest.records import page_of
from dataplane.engine import connector_instance


@dataclass
class Wanted:
    name: str = "orders"
    records: str | None = "data"
    next_path: str | None = None
    more_path: str | None = None


def test_the_largest_answer_fits_into_the_memory_of_a_step() -> None:
    """Many small values are the worst: each is many times as large where an answer is taken apart."""
    params = RestParams(base_url="http://127.0.0.1", streams=("orders /orders",), largest_mb=16)
    record = json.dumps({"id": 1, "a": 2, "b": [1, 2, 3, 4], "c": {"x": 1, "y": 2}, "d": None, "e": True}).encode()
    count = params.largest // (len(record) + 1) - 10
    body = b'{"data": [' + b",".join([record] * count) + b'], "meta": {"next": "later", "more": true}}'
    assert len(body) > 0.99 * params.largest
    with connector_instance(memory=512 << 20, threads=2) as connection:
        wanted = Wanted(next_path="meta.next", more_path="meta.more")
        page = page_of(connection, Answered("http://127.0.0.1/orders", 200, {}, body), wanted)
    assert (page.count, page.cursor, page.more) == (count, "later", "true")
    assert page.lines.count(b"\n") == count
    assert page.keys == set("abcde") | {"id"}


def test_whether_there_is_more_is_told_without_a_cursor() -> None:
    with connector_instance(memory=128 << 20, threads=1) as connection:
        answered = Answered("http://127.0.0.1/orders", 200, {}, b'{"data": [{"id": 1}], "more": false}')
        page = page_of(connection, answered, Wanted(more_path="more"))
    assert (page.count, page.cursor, page.more) == (1, None, "false")


def test_keys_that_many_records_share_are_told_once() -> None:
    chosen = random.Random(1)
    records = [json.dumps({f"k{each}": 1 for each in chosen.sample(range(100), 40)}) for _ in range(2000)]
    answered = Answered("http://127.0.0.1/orders", 200, {}, f'{{"data": [{",".join(records)}]}}'.encode())
    with connector_instance(memory=128 << 20, threads=1) as connection:
        # What is imported at the first answer is none of the answer's.
        page_of(connection, answered, Wanted())
        tracemalloc.start()
        page = page_of(connection, answered, Wanted())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (page.count, len(page.keys)) == (2000, 100)
    assert peak < 6 * len(answered.body), "each key of each record is many times as large in Python"


def test_an_answer_without_records_has_no_keys() -> None:
    with connector_instance(memory=128 << 20, threads=1) as connection:
        page = page_of(connection, Answered("http://127.0.0.1/orders", 200, {}, b'{"data": []}'), Wanted())
    assert (page.count, page.keys, page.lines) == (0, frozenset(), b"")
