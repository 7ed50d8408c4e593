"""The records of an answer, taken out of it by DuckDB: one line each, none of them a Python object."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import duckdb

from dataplane.connectors.files.nests import DEEPEST, too_deep
from dataplane.connectors.rest.client import Answered
from dataplane.connectors.rest.params import Endpoint
from dataplane.errors import DataError, ManifoldError
from dataplane.failures import duckdb_errors
from dataplane.http import shown
from dataplane.relations import literal


@dataclass(frozen=True)
class Page:
    """The records of one answer as lines of JSON, how many they are, and the cursor that it gives for the next."""

    lines: bytes
    count: int
    cursor: str | None


def page_of(connection: duckdb.DuckDBPyConnection, answered: Answered, endpoint: Endpoint) -> Page:
    """The page that an answer holds. Raises DataError for one that holds no records where they should be."""
    if not answered.body.strip():
        return Page(b"", 0, None)
    with duckdb_errors():
        try:
            text = answered.body.decode("utf-8-sig")
            row = connection.execute(_query(endpoint), [text]).fetchone()
        except (UnicodeDecodeError, duckdb.InvalidInputException):
            raise _not_json(answered) from None
    assert row is not None
    root, kind, cursor, others, count, lines = row
    if kind is None:
        raise _no_records(answered, endpoint, root)
    if kind not in ("ARRAY", "OBJECT", "NULL") or others:
        raise _not_objects(answered, endpoint)
    page = Page(f"{lines}\n".encode() if count else b"", count or 0, cursor or None)
    if too_deep(BytesIO(page.lines)):
        raise _nested(answered)
    return page


def _query(endpoint: Endpoint) -> str:
    """Kind of the whole, kind of the records, next cursor, how many are no objects, how many there are, their lines."""
    place = _path(endpoint.records)
    at, every = literal(place), literal(f"{place}[*]")
    cursor = f"t ->> {literal(_path(endpoint.next_path))}" if endpoint.next_path else "CAST(NULL AS VARCHAR)"
    return (
        "SELECT root, kind, cursor, len(list_filter(found, lambda each: json_type(each) <> 'OBJECT')), len(found), "
        "array_to_string(list_transform(found, lambda each: CAST(each AS VARCHAR)), chr(10)) FROM ("
        f"SELECT json_type(t) AS root, json_type(t, {at}) AS kind, {cursor} AS cursor, CASE json_type(t, {at}) "
        f"WHEN 'ARRAY' THEN json_extract(t, {every}) WHEN 'OBJECT' THEN [json_extract(t, {at})] END AS found "
        "FROM (SELECT CAST($1 AS VARCHAR) AS t))"
    )


def _path(dotted: str | None) -> str:
    """A path such as `data.items` as DuckDB writes it."""
    names = (dotted or "").removeprefix("$").split(".")
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


def _no_records(answered: Answered, endpoint: Endpoint, root: str) -> ManifoldError:
    return DataError(
        f"The answer of {shown(answered.url)}, an {root.lower()}, has nothing at {endpoint.records}. Correct the path "
        f"of the records of {endpoint.name}.",
        code="records_missing",
        evidence={"url": shown(answered.url), "records": endpoint.records},
    )


def _not_objects(answered: Answered, endpoint: Endpoint) -> DataError:
    return DataError(
        f"What {shown(answered.url)} holds at {endpoint.records or 'its root'} are no objects, so they have no "
        f"columns. Correct the path of the records of {endpoint.name}.",
        code="records_malformed",
        evidence={"url": shown(answered.url), "records": endpoint.records},
    )
