"""The records of an answer, taken out of it by DuckDB: one line each, none of them a Python object."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import duckdb

from dataplane.connectors.files.nests import DEEPEST, too_deep
from dataplane.connectors.rest.client import Answered
from dataplane.errors import DataError, ManifoldError
from dataplane.failures import duckdb_errors
from dataplane.http import shown
from dataplane.relations import literal


@dataclass(frozen=True)
class Page:
    """The records of one answer as lines of JSON, how many they are, the cursor that it gives for the next, and
    whether it says that there are more."""

    lines: bytes
    count: int
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
        return Page(b"", 0, None)
    with duckdb_errors():
        try:
            text = answered.body.decode("utf-8-sig")
            row = connection.execute(_query(places), [text]).fetchone()
        except (UnicodeDecodeError, duckdb.InvalidInputException):
            raise _not_json(answered) from None
    assert row is not None
    root, kind, each, cursor, more, others, count, lines = row
    if kind is None:
        raise _no_records(answered, places, root)
    within = "[]" in (places.records or "")
    if kind not in ("ARRAY", "NULL", *(() if within else ("OBJECT",))) or others:
        raise _not_objects(answered, places)
    if within and (each or 0) != (count or 0):
        # An element without the key would be a record lost.
        raise _no_records(answered, places, root)
    page = Page(f"{lines}\n".encode() if count else b"", count or 0, cursor or None, more)
    if too_deep(BytesIO(page.lines)):
        raise _nested(answered)
    return page


def _query(places: Places) -> str:
    """Kind of the whole, kind of the records or of the list that holds each, how many that list has, next cursor and
    whether there are more, how many records are no objects, how many there are, their lines.

    Each look into the text costs many times its size: none is made for what a stream does not have.
    """
    list_, within, inside = (places.records or "").partition("[].")
    at = literal(_path(list_))
    every = literal(f"{_path(list_)}[*]{_path(inside)[1:]}")
    each = f"json_array_length(t, {at})" if within else "NULL"
    following = ", ".join(literal(_path(path)) for path in (places.next_path, places.more_path) if path)
    told = f"t ->> [{following}]" if following else "CAST([] AS VARCHAR[])"
    return (
        "SELECT root, kind, each, told[1], told[2], len(list_filter(found, lambda x: json_type(x) <> 'OBJECT')), "
        "len(found), array_to_string(list_transform(found, lambda x: CAST(x AS VARCHAR)), chr(10)) FROM ("
        f"SELECT json_type(t) AS root, json_type(t, {at}) AS kind, {each} AS each, {told} AS told, "
        f"CASE json_type(t, {at}) WHEN 'ARRAY' THEN json_extract(t, {every}) "
        f"WHEN 'OBJECT' THEN [json_extract(t, {at})] END AS found FROM (SELECT CAST($1 AS VARCHAR) AS t))"
    )


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
    return DataError(
        f"{shown(answered.url)} does not answer with JSON{f' but with {kind}' if kind else ''}. Correct the address, "
        "or ask for JSON with a header or a parameter.",
        code="json_malformed",
        evidence={"url": shown(answered.url), "content_type": kind},
    )


def _no_records(answered: Answered, places: Places, root: str) -> ManifoldError:
    return DataError(
        f"The answer of {shown(answered.url)}, an {root.lower()}, has nothing at {places.records}. Correct the path "
        f"of the records of {places.name}.",
        code="records_missing",
        evidence={"url": shown(answered.url), "records": places.records},
    )


def _not_objects(answered: Answered, places: Places) -> DataError:
    return DataError(
        f"What {shown(answered.url)} holds at {places.records or 'its root'} are no objects, so they have no "
        f"columns. Correct the path of the records of {places.name}.",
        code="records_malformed",
        evidence={"url": shown(answered.url), "records": places.records},
    )
