"""From a declared stream and a window to documents, and from documents to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from dataplane.connectors.databases.declared import chosen, cursor_changed, cursor_column, no_lookback, no_order
from dataplane.connectors.databases.guards import alarm
from dataplane.connectors.mongodb.filters import filter_of
from dataplane.connectors.mongodb.values import ZONED, Arrival, arrival, moment_text, whole_document
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Window
from dataplane.relations import identifier, literal

if TYPE_CHECKING:
    from bson import CodecOptions
    from pymongo.collection import Collection

    Documents = Collection[dict[str, Any]]

BATCH = 1_000
_SHOWN = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDERS = {"objectId": "VARCHAR", "date": ZONED, "int": "BIGINT"}
# The dates that Python, and with it every text of a window, can write.
_DATES = {"$gte": datetime(1, 1, 1, tzinfo=UTC), "$lte": datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)}


@dataclass(frozen=True)
class Cursor:
    """The field that a stream is read by: an id, a date, or a whole number; texts of windows are its values."""

    name: str
    kind: str

    @property
    def there(self) -> dict[str, Any]:
        """The condition that a document has it. The server finds a list by what is in it, which has no one order."""
        kinds = {"$type": ["int", "long"] if self.kind == "int" else self.kind, "$not": {"$type": "array"}}
        return {self.name: {**kinds, **_DATES} if self.kind == "date" else kinds}

    def written(self, value: Any) -> str:
        if self.kind == "date":
            return moment_text(int(value)).replace("T", " ").replace("Z", "+00")
        return str(value)

    def value(self, text: str) -> Any:
        from bson import DatetimeMS, Int64, ObjectId

        if self.kind == "date":
            found = datetime.fromisoformat(text)
            # Rounded down: a lookback may lie between two milliseconds, and one more is harmless.
            return DatetimeMS((found.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1))
        return Int64(int(text)) if self.kind == "int" else ObjectId(text)

    def earlier(self, text: str, amount: float) -> str:
        value = int(self.value(text))
        return self.written(value - round(amount * 1000) if self.kind == "date" else value - int(amount // 1))

    def later(self, one: str, other: str) -> bool:
        if self.kind == "objectId":
            return one > other
        return int(self.value(one)) > int(self.value(other))


@dataclass(frozen=True)
class Prepared:
    """A stream as it will be read now."""

    stream: StreamConfig
    columns: tuple[Column, ...]
    cursor: Cursor | None
    filter: dict[str, Any]
    ordered: bool
    warnings: tuple[str, ...] = ()
    arrivals: tuple[Arrival, ...] = field(default=())

    def query(self, window: Window | None) -> dict[str, Any]:
        conditions = [self.filter] if self.filter else []
        if window is not None and window.by_cursor:
            conditions += self._bounds(window)
        return {"$and": conditions} if conditions else {}

    def _bounds(self, window: Window) -> list[dict[str, Any]]:
        cursor = self.cursor
        if cursor is None or cursor.name != window.column:
            raise cursor_changed(self.stream, window)
        begin = window.reread_from if window.reread_from is not None else window.lower
        found: list[dict[str, Any]] = [cursor.there]
        if begin is not None:
            found.append({cursor.name: {"$gte": cursor.value(begin)}})
        if window.upper is not None:
            before = "$lt" if window.kind == "slice" else "$lte"
            found.append({cursor.name: {before: cursor.value(window.upper)}})
        return found

    def find(self, window: Window | None, limit: int = 0) -> dict[str, Any]:
        """What is asked for."""
        names = [each.name for each in self.arrivals]
        asked: dict[str, Any] = {"filter": self.query(window), "limit": limit, "batch_size": BATCH}
        # Such a name would be taken for a path, or for an operator.
        if not any("." in each or each.startswith("$") for each in names):
            asked["projection"] = {**dict.fromkeys(names, 1), "_id": 1}
        if self.ordered and (window is None or not window.by_cursor):
            # By an index that never changes for a document: none is read twice, however it grows meanwhile.
            asked["sort"] = [("_id", 1)]
        return asked

    def rows(self, table: str) -> tuple[str, str]:
        """The SELECT of the rows of a table of batches, and that of the rows that are set aside."""
        items, unfit = [], ["__refusal IS NOT NULL"]
        reasons = ["__refusal"]
        for at, each in enumerate(self.arrivals):
            value = each.sql(f"c{at}")
            items.append(f"{value} AS {identifier(each.name)}")
            if not each.exact:
                bad = f"(c{at} IS NOT NULL AND ({value}) IS NULL)"
                unfit.append(bad)
                reasons.append(f"CASE WHEN {bad} THEN {literal(f'{each.name} is not {each.type}')} END")
        condition = " OR ".join(unfit)
        rejects = (
            f"SELECT {literal(self.stream.name)} AS file, __row AS row, "
            f"concat_ws('; ', {', '.join(reasons)}) AS reason, __raw AS raw FROM {table} WHERE {condition}"
        )
        return f"SELECT {', '.join(items)} FROM {table} WHERE NOT ({condition})", rejects

    def rows_or_none(self, table: str) -> str:
        """The SELECT of the rows of a table of batches, which fails at a value that does not fit and names it."""
        items = []
        for at, each in enumerate(self.arrivals):
            place, value = identifier(f"c{at}"), each.sql(f"c{at}")
            if not each.exact:
                failure = alarm(each.name, place, each.type)
                value = f"CASE WHEN {place} IS NOT NULL THEN coalesce({value}, {failure}) END"
            items.append(f"{value} AS {identifier(each.name)}")
        return f"SELECT {', '.join(items)} FROM {table}"

    @property
    def schema(self) -> pa.Schema:
        """The columns of a batch: the values by their places, and of a row that is set aside why, which, and itself."""
        fields = [(f"c{at}", each.arrow) for at, each in enumerate(self.arrivals)]
        return pa.schema([*fields, ("__refusal", pa.string()), ("__row", pa.int64()), ("__raw", pa.string())])

    def batch(self, documents: Sequence[dict[str, Any]], first: int) -> pa.RecordBatch:
        """The rows of some documents, the first of which is the `first` of the reading."""
        refusals: list[str | None] = [None] * len(documents)
        columns = [_column([each.get(how.name) for each in documents], how, refusals) for how in self.arrivals]
        exact = all(each.exact for each in self.arrivals)
        raws = [
            None if exact and why is None else whole_document(each)
            for each, why in zip(documents, refusals, strict=True)
        ]
        arrays = [*columns, refusals, list(range(first, first + len(documents))), raws]
        return pa.RecordBatch.from_arrays(
            [pa.array(each, each_type.type) for each, each_type in zip(arrays, self.schema, strict=True)],
            schema=self.schema,
        )


def prepare(stream: StreamConfig, sampled: Callable[[], tuple[Column, ...]], *, ordered: bool) -> Prepared:
    """The stream as it will be read. sampled: the columns of one that declares none. ordered: by its `_id`.

    Raises ConfigurationError.
    """
    there = stream.columns or sampled()
    names, _, _ = chosen(stream, there)
    cursor = _cursor_of(stream, there) if stream.cursor else None
    arrivals = tuple(arrival(each.name, each.type) for each in names)
    return Prepared(stream, tuple(names), cursor, filter_of(stream), ordered, arrivals=arrivals)


def can_be_cursor(column: Column) -> bool:
    """Whether a field has an order that is the same here as in the server."""
    return _ORDERS.get(column.native) == column.type


def _cursor_of(stream: StreamConfig, columns: Sequence[Column]) -> Cursor:
    column = cursor_column(stream, columns)
    if not can_be_cursor(column):
        raise no_order(
            stream,
            f"{column.native or 'of no known kind'}, declared as {column.type}",
            f"an id, a date declared as {ZONED}, or a whole number declared as BIGINT",
        )
    if stream.lookback and column.native == "objectId":
        raise no_lookback(stream, "an id")
    return Cursor(column.name, column.native)


def exact() -> CodecOptions[dict[str, Any]]:
    """As documents are decoded: dates beyond the year 9999 stay what they are, and so do texts that are none."""
    from bson import CodecOptions
    from bson.binary import UuidRepresentation
    from bson.codec_options import DatetimeConversion

    return CodecOptions(
        tz_aware=False,
        datetime_conversion=DatetimeConversion.DATETIME_MS,
        uuid_representation=UuidRepresentation.STANDARD,
        unicode_decode_error_handler="surrogateescape",
    )


def batches(
    documents: Documents, prepared: Prepared, window: Window | None, limit: int = 0
) -> Iterator[pa.RecordBatch]:
    """The documents of a window as batches, as the server sends them. May raise the driver's errors.

    limit: so many at most; below nought as many of them as one answer holds, which is at most 16 MB.
    """
    from bson import decode_all

    first, options = 1, exact()
    for raw in documents.find_raw_batches(**prepared.find(window, limit)):
        # What the driver calls a document here are the bytes of many.
        found = decode_all(cast(bytes, raw), options)
        if found:
            yield prepared.batch(found, first)
            first += len(found)


def _column(given: list[Any], how: Arrival, refusals: list[str | None]) -> list[Any]:
    """What Arrow takes; a value that does not fit is missing, and its row says why."""
    found: list[Any] = []
    for at, value in enumerate(given):
        try:
            one = None if value is None else how.convert(value)
            if isinstance(one, str):
                one.encode()
        except (ValueError, ArithmeticError, RecursionError):
            one = None
            why = f"{how.name} is not {how.type}: {str(value)[:_SHOWN]!a}"
            refusals[at] = f"{refusals[at]}; {why}" if refusals[at] else why
        found.append(one)
    return found
