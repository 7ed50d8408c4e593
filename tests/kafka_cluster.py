"""A Kafka-protocol cluster in a process of its own: librdkafka's mock brokers, which keep messages in memory.

`python -m tests.kafka_cluster` prints the addresses of its brokers and lives until its standard input is closed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer


@contextmanager
def kafka_cluster() -> Iterator[list[str]]:
    """The addresses of two brokers; topics come into being when somebody writes to them, with four partitions."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kafka_cluster"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()
    finally:
        process.communicate()


def main() -> None:
    host = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 2})
    brokers = host.list_topics(timeout=60).brokers.values()
    sys.stdout.write(" ".join(f"{each.host}:{each.port}" for each in brokers) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
