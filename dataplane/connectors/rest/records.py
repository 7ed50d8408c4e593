"""The records of an answer, taken out of it by DuckDB: one line each, none of them a Python object."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

import duckdb

from dataplane.connectors.files.nests import DEEPEST, too_deep
from dataplane.connectors.rest.client import Answered
from dataplane.errors import DataError, ManifoldError
from dataplane.failures import duckdb_errors
from dataplane.http import shown
from dataplane.relations import literal

# So many keys are told.
_NAMED = 10


@dataclass(frozen=True)
class Page:
    """The records of one answer as lines of JSON, how many they are, every key that one has, the cursor that the answer
    gives for the next, and whether it says that there are more."""

    lines: bytes
    count: int
    keys: frozenset[str]
    cursor: str | None
    more: str | None = None


class Places(Protocol):
    """Where in an answer of a stream its records stand, the next cursor, and whether there are more; None: nowhere."""

    @property
    def name(self) -> str: ...
    @property
    def records(self) -> str | None: ...
    @property
    def next_path(self) -> str | None: ...
    @property
    def more_path(self) -> str | None: ...


def page_of(connection: duckdb.DuckDBPyConnection, answered: Answered, places: Places) -> Page:
    """The page that an answer holds. Raises DataError for one that holds no records where they should be."""
    if not answered.body.strip():
        return Page(b"", 0, frozenset(), None)
    within = "[]" in (places.records or "")
    with duckdb_errors():
        try:
            text = answered.body.decode("utf-8-sig")
            looked = _Looked(connection, text, places)
            root, kind = looked.kinds()
        except (UnicodeDecodeError, duckdb.InvalidInputException):
            raise _not_json(answered) from None
        if kind is None:
            raise _no_records(answered, places, root, looked.keys())
        if kind not in ("ARRAY", "NULL", *(() if within else ("OBJECT",))):
            raise _not_objects(answered, places)
        others, count, keys, lines = looked.records(kind)
        if others:
            raise _not_objects(answered, places)
        if within and looked.length() != count:
            # An element without the key would be a record lost.
            raise _no_records(answered, places, root, looked.keys())
        page = Page(lines, count, keys, *looked.told())
    if too_deep(BytesIO(page.lines)):
        raise _nested(answered)
    return page


class _Looked:
    """An answer's text, asked one thing after the other: in one statement each would keep the whole text taken apart,
    which is many times its size. Nothing is asked that a stream does not have."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, text: str, places: Places) -> None:
        self._connection, self._text, self._places = connection, text, places
        self._list, self._within, self._inside = (places.records or "").partition("[].")
        self._at = literal(_path(self._list))

    def _ask(self, items: str, found: str = "NULL") -> tuple[Any, ...]:
        query = f"SELECT {items} FROM (SELECT {found} AS found, t FROM (SELECT CAST($1 AS VARCHAR) AS t))"
        row = self._connection.execute(query, [self._text]).fetchone()
        assert row is not None
        return row

    def kinds(self) -> tuple[str, str | None]:
        """Of the whole, and of the records or of the list that holds each. Raises duckdb.InvalidInputException."""
        ((root, kind),) = self._ask(f"json_type(t, ['$', {self._at}])")
        return root, kind

    def records(self, kind: str) -> tuple[int, int, frozenset[str], bytes]:
        """How many records are no objects, how many there are, their keys, and their lines."""
        if kind == "NULL":
            return 0, 0, frozenset(), b""
        every = literal(f"{_path(self._list)}[*]{_path(self._inside)[1:]}")
        found = f"json_extract(t, {every})" if kind == "ARRAY" else f"[json_extract(t, {self._at})]"
        others, count, keys, lines = self._ask(
            "len(list_filter(found, lambda x: json_type(x) <> 'OBJECT')), len(found), "
            "list_distinct(flatten(list_distinct(list_transform(found, lambda x: json_keys(x))))), "
            "array_to_string(list_transform(found, lambda x: CAST(x AS VARCHAR)), chr(10))",
            found,
        )
        return others, count, frozenset(keys), f"{lines}\n".encode() if count else b""

    def keys(self) -> list[str]:
        """Of the whole, where it is an object."""
        return list(self._ask("json_keys(t)")[0] or [])

    def length(self) -> int:
        """Of the list that holds each record."""
        return int(self._ask(f"json_array_length(t, {self._at})")[0] or 0)

    def told(self) -> tuple[str | None, str | None]:
        """The cursor of the next page, and whether there is one."""
        following, more = self._places.next_path or "", self._places.more_path or ""
        paths = [path for path in (following, more) if path]
        if not paths:
            return None, None
        (found,) = self._ask(f"t ->> [{', '.join(literal(_path(path)) for path in paths)}]")
        told = dict(zip(paths, found, strict=True))
        return told.get(following) or None, told.get(more)


def _path(dotted: str) -> str:
    """A path such as `data.items` as DuckDB writes it."""
    names = dotted.removeprefix("$").split(".")
    return "$" + "".join(f'."{each}"' for each in names if each)


def _nested(answered: Answered) -> DataError:
    return DataError(
        f"A record of {shown(answered.url)} has nests more than {DEEPEST} deep, which nobody can read. Ask the API "
        "for fewer fields.",
        code="records_malformed",
        evidence={"url": shown(answered.url)},
    )


def _not_json(answered: Answered) -> DataError:
    kind = answered.headers.get("content-type", "")[:100]
    instead = f" but with {kind}" if kind else ""
    if "json" in kind.lower():
        instead = f", though it says {kind}: it is cut off, no single JSON text, or not in UTF-8"
    return DataError(
        f"{shown(answered.url)} does not answer with JSON{instead}. Correct the address, or ask for JSON with a header "
        "or a parameter.",
        code="json_malformed",
        evidence={"url": shown(answered.url), "content_type": kind},
    )


def _no_records(answered: Answered, places: Places, root: str, keys: list[str]) -> ManifoldError:
    there = f"; it holds {', '.join(keys[:_NAMED])}" if keys else ""
    return DataError(
        f"The answer of {shown(answered.url)}, an {root.lower()}, has nothing at {places.records}{there}. Correct the "
        f"path of the records of {places.name}.",
        code="records_missing",
        evidence={"url": shown(answered.url), "records": places.records, "keys": keys[:_NAMED]},
    )


def _not_objects(answered: Answered, places: Places) -> DataError:
    return DataError(
        f"What {shown(answered.url)} holds at {places.records or 'its root'} are no objects, so they have no "
        f"columns. Correct the path of the records of {places.name}.",
        code="records_malformed",
        evidence={"url": shown(answered.url), "records": places.records},
    )
