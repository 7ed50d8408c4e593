"""A session with a cluster: what its topics hold, and their messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dataplane.connectors.files.server import IDLE_SECONDS, connected, unreachable
from dataplane.connectors.kafka import faults
from dataplane.connectors.kafka.batches import batch_of
from dataplane.connectors.kafka.identity import Identities
from dataplane.connectors.kafka.params import KafkaParams, settings_of
from dataplane.connectors.streams.extents import Extent, milliseconds
from dataplane.connectors.streams.messages import MOST_BYTES, Batch
from dataplane.connectors.streams.server import HURRIED_SECONDS
from dataplane.errors import ManifoldError
from dataplane.net import resolve

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

AT_ONCE = 20_000
_POLL_SECONDS = 0.5
_FIRST_SECONDS = 0.25
_HEAR_SECONDS = 0.05
# Topics of the brokers' own.
_HIDDEN = "__"


class Session:
    """One consumer, which belongs to no group's assignment; nothing is opened before it is asked."""

    def __init__(self, params: KafkaParams, *, hurried: bool) -> None:
        self._params = params
        self._seconds = HURRIED_SECONDS if hurried else IDLE_SECONDS
        self._consumer: Consumer | None = None
        self._failure: KafkaError | None = None
        self._mistrusted: set[str] = set()
        self._identities = Identities(settings_of(params, self._noted))

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [("resolve", self.resolved), ("connect", self._reached), ("authenticate", self.admitted)]

    def resolved(self) -> str:
        found = {host: resolve(host, port) for host, port in self._params.addresses}
        return " ".join(f"{host} is {', '.join(addresses)}." for host, addresses in found.items())

    def _reached(self) -> str:
        failure: ManifoldError | None = None
        for host, port in self._params.addresses:
            try:
                connected(host, port).close()
            except ManifoldError as error:
                failure = error
            else:
                return f"{host}:{port} answers."
        raise failure or unreachable(*self._params.addresses[0], None)

    def admitted(self) -> str:
        brokers = self._metadata().brokers
        # Where the brokers say they are is where messages are fetched.
        for each in brokers.values():
            resolve(each.host, each.port)
        return f"{len(brokers)} broker{'' if len(brokers) == 1 else 's'} let us in."

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def names(self) -> list[str]:
        if self._params.topics:
            return list(self._params.topics)
        return sorted(each for each in self._metadata().topics if not each.startswith(_HIDDEN))

    def extents(self, stream: str) -> list[Extent]:
        import confluent_kafka as kafka

        cluster = self._metadata(stream)
        topic = cluster.topics.get(stream)
        if topic is None or topic.error is not None or not topic.partitions:
            raise faults.of_topic(stream, topic.error if topic else None)
        # The broker that knows it is asked; of some clusters none is named.
        made = self._identities.of(stream) if cluster.controller_id in cluster.brokers else ""
        found = []
        for number in sorted(topic.partitions):
            with self._told():
                place = kafka.TopicPartition(stream, number)
                low, high = self._opened.get_watermark_offsets(place, timeout=self._seconds, cached=False)
            found.append(Extent(str(number), low - 1, high - 1, made=made))
        return found

    def since(self, stream: str, extents: Sequence[Extent], at: datetime) -> list[Extent]:
        import confluent_kafka as kafka

        places = [kafka.TopicPartition(stream, int(each.partition), milliseconds(at)) for each in extents]
        with self._told():
            found = self._opened.offsets_for_times(places, timeout=self._seconds)
        if wrong := next((each.error for each in found if each.error is not None), None):
            raise faults.of_topic(stream, wrong)
        # Where no message is as late, the offset is negative.
        first = {str(each.partition): each.offset for each in found if each.offset >= 0}
        return [each.behind(first.get(each.partition, each.newest + 1) - 1) for each in extents]

    def follow(self, stream: str, read: dict[str, int]) -> None:
        import confluent_kafka as kafka

        if not self._params.group:
            return
        places = [kafka.TopicPartition(stream, int(each), offset + 1) for each, offset in read.items()]
        with suppress(kafka.KafkaException):
            self._opened.commit(offsets=places, asynchronous=False)

    def messages(self, stream: str, spans: dict[str, tuple[int, int]], most: int) -> Iterator[Batch]:
        import confluent_kafka as kafka

        open_ = {int(each): upper for each, (lower, upper) in spans.items() if lower < upper}
        read = {int(each): lower for each, (lower, _) in spans.items()}
        self._failure = None
        with self._told():
            self._opened.assign([kafka.TopicPartition(stream, each, read[each] + 1) for each in open_])
        try:
            while open_ and most > 0:
                taken = self._taken(stream, open_, min(most, AT_ONCE), read)
                if taken:
                    yield batch_of(taken)
                most -= len(taken)
        finally:
            with suppress(kafka.KafkaException, RuntimeError):
                self._opened.unassign()

    def _taken(self, stream: str, open_: dict[int, int], most: int, read: dict[int, int]) -> list[Message]:
        """The next messages within the spans that are still open; a partition that is read to its end is closed.

        read: up to where each partition is read, which it notes.
        """
        found: list[Message] = []
        size, heard = 0, time.monotonic()
        while open_ and len(found) < most and size < MOST_BYTES:
            with self._told():
                came = self._opened.consume(most - len(found), _POLL_SECONDS)
            for each in came:
                if self._within(each, open_):
                    found.append(each)
                    size += len(each)
                    read[each.partition() or 0] = each.offset() or 0
            if not came and self._failure is not None and faults.oversized(self._failure):
                raise faults.too_large(stream, {str(each): read[each] + 1 for each in open_})
            heard = time.monotonic() if came else heard
            if time.monotonic() - heard > self._seconds:
                raise faults.silent(self._failure, self._params, self._seconds)
        return found

    def _within(self, message: Message, open_: dict[int, int]) -> bool:
        """Whether it is a message of a span, and no event; the last one, or one behind it, closes its partition."""
        import confluent_kafka as kafka

        stream, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        error = message.error()
        reset = (kafka.KafkaError._AUTO_OFFSET_RESET, kafka.KafkaError.OFFSET_OUT_OF_RANGE)
        if error is not None and error.code() in reset:
            raise faults.gone(stream, partition)
        if error is not None and error.code() != kafka.KafkaError._PARTITION_EOF:
            raise faults.of_topic(stream, error)
        upper = open_.get(partition, -1)
        if (error is not None or offset >= upper) and open_.pop(partition, None) is not None:
            with self._told():
                self._opened.incremental_unassign([kafka.TopicPartition(stream, partition)])
        return error is None and offset <= upper

    @property
    def _opened(self) -> Consumer:
        import confluent_kafka as kafka

        if self._consumer is None:
            self._consumer = kafka.Consumer(settings_of(self._params, self._noted), logger=_Silent())
        return self._consumer

    def _noted(self, error: KafkaError) -> None:
        """What goes on between the client and the brokers; the first serious failure explains those that follow."""
        if self._failure is None or faults.refuses(error) or faults.oversized(error):
            self._failure = error
        if server := faults.mistrusted(error):
            self._mistrusted.add(server)

    def _refused(self) -> bool:
        """Whether no patience lets us in. A user is the cluster's; a certificate is one server's, beside others."""
        if self._failure is None or not faults.refuses(self._failure):
            return False
        return not faults.mistrusted(self._failure) or self._mistrusted.issuperset(self._params.servers)

    def _metadata(self, topic: str | None = None) -> Any:
        """Asked anew after a while, and then after twice as long: who is refused need not wait to the end."""
        import confluent_kafka as kafka

        wanted, began, waited = {"topic": topic} if topic else {}, time.monotonic(), 0.0
        with self._told():
            while True:
                try:
                    return self._opened.list_topics(
                        timeout=min(max(_FIRST_SECONDS, waited), self._seconds - waited), **wanted
                    )
                except kafka.KafkaException as error:
                    self._hear()
                    waited = time.monotonic() - began
                    if self._refused() or waited >= self._seconds or not faults.passes(error.args[0]):
                        raise

    def _hear(self) -> None:
        """Take what the client has to report; it does so only while it is asked for messages."""
        self._opened.poll(_HEAR_SECONDS)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Failures of the client in our words; a time-out only says that nothing came, so what was noted says why."""
        import confluent_kafka as kafka

        try:
            yield
        except kafka.KafkaException as error:
            self._hear()
            heard = self._failure if faults.passes(error.args[0]) else None
            raise faults.explained(heard or error.args[0], self._params, self._seconds) from error


class _Silent:
    """A logger for librdkafka, whose lines would repeat what is told as an error."""

    def log(self, *_: object) -> None:
        """Nothing is kept."""
