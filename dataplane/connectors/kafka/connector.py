"""The connector: topics, read partition by partition up to offsets that were settled before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, ClassVar

from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.kafka.params import KafkaParams
from dataplane.connectors.kafka.session import Session
from dataplane.connectors.schema import Column
from dataplane.connectors.streams.connector import Broker, StreamConnector

# One of several servers, in an address that may name a topic behind the last.
_SERVER = re.compile(r"\s*([\w.-]+:\d+)(?:/.*)?")


class Kafka(StreamConnector):
    """Messages of topics, in the order of each partition."""

    key = "kafka"
    title = "Kafka"
    summary = (
        "Messages of topics in Kafka, Redpanda and compatible brokers, each once, by the offsets of each partition."
    )
    tested_with = (
        "the mock cluster of librdkafka; for TLS, SASL and times behind a door of the tests' own: no other broker was "
        "at hand"
    )
    Params: ClassVar[type[KafkaParams]] = KafkaParams
    params: KafkaParams
    beside = (
        Column("_partition", "INTEGER", False, "partition"),
        Column("_offset", "BIGINT", False, "offset"),
        Column("_timestamp", "TIMESTAMP WITH TIME ZONE", True, "timestamp"),
        Column("_key", "VARCHAR", True, "key", "Bytes that are no text arrive as \\xNN."),
        Column("_headers", "JSON", True, "headers", "Bytes that are no text arrive as \\xNN."),
    )
    called = "topic"
    place = ("'partition ' || _partition", "_offset")

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        first, *others = clue.line.split(",")
        more = [each.group(1) for other in others if (each := _SERVER.fullmatch(other))]
        if more and len(more) == len(others):
            clue = Clue(first)
        found = recognising.broker(clue, product="Kafka", schemes=("kafka",), port=9092)
        if found is None or clue.address is None:
            return None
        params: dict[str, Any] = {"servers": [f"{clue.address.host}:{clue.address.port or 9092}", *more]}
        if clue.address.user:
            params |= {"sasl": "PLAIN", "user": clue.address.user, "password": clue.address.password}
        return Guess(found.confidence, found.reasons, params)

    def broker(self, *, hurried: bool) -> Session:
        return Session(self.params, hurried=hurried)

    @contextmanager
    def session(self, *, hurried: bool = False) -> Iterator[Broker]:
        # Some of the servers may be away: the client tries all of them at once, so none is waited for by itself.
        with closing(self.broker(hurried=hurried)) as session:
            session.resolved()
            session.admitted()
            yield session
