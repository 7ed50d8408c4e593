"""Reading files of JSON: a list, one object after the other, or an object a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import duckdb

from dataplane.connectors.files import groups, inside, objects
from dataplane.connectors.files.careful import CarefulGroup
from dataplane.connectors.files.encodings import READERS_NAMES, head
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.groups import PATH, struct
from dataplane.connectors.files.settings import Format
from dataplane.connectors.reading import Part, SourceFile
from dataplane.connectors.schema import Column
from dataplane.relations import identifier, literal

_OBJECT = "__object"
# A bare null is a row without values, in the fast read as well.
_NO_OBJECT = f"coalesce(json_type({_OBJECT}), '') NOT IN ('OBJECT', 'NULL')"


def json_shape(format_: Format, found: Found) -> str:
    """How DuckDB is told to read a JSON file: one array, or one object after the other."""
    if format_ == "ndjson":
        return "newline_delimited"
    return "array" if head(found, 4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") else "auto"


def _nested(column: Column) -> bool:
    return column.type.upper().startswith(("JSON", "STRUCT", "MAP", "LIST")) or column.type.endswith("]")


@dataclass(frozen=True)
class Json(CarefulGroup):
    """Files of which each is one text of JSON, or several."""

    def part(self, check: Callable[[], None] | None) -> Part:
        exact = Part(
            self._chosen(self._careful()),
            rejects=self._rejects(),
            files=self._sources,
            origin=self._origin,
            complete=self._complete,
            check=check,
        )
        return replace(exact, query=self._chosen(self._fast()), rejects=None, careful=exact)

    @property
    def _complete(self) -> Callable[[duckdb.DuckDBPyConnection, str], None] | None:
        return None

    def _fast_type(self, column: Column) -> str:
        return inside.read_type(column.type) if _nested(column) else super()._fast_type(column)

    def _fast_value(self, column: Column, made: str | None) -> str:
        if _nested(column):
            return inside.fast(identifier(column.name), column.type)
        return super()._fast_value(column, made)

    def _careful_type(self, column: Column) -> str:
        return "JSON" if _nested(column) else "VARCHAR"

    def _exact(self, each: Column, types: dict[str, str]) -> str:
        if types[each.name] == "JSON" != each.type:
            return inside.careful(identifier(each.name), each.type)
        return super()._exact(each, types)

    def _read(self, types: dict[str, str], *more: str) -> str:
        named = struct({each.name: types[each.name] for each in self.columns})
        shape = literal(self._first.layout[0][1])
        # Else one value that is no object makes a value of each whole one, where one column is asked for.
        options = ", ".join([*self._options, "records = 'true'", *more])
        return f"read_json({self._paths}, columns = {named}, format = {shape}, {options})"

    def _fast_source(self, types: dict[str, str]) -> str:
        return self._read(types)

    def _careful_source(self, types: dict[str, str]) -> str:
        return self._read(types)

    def _all_rows(self, types: dict[str, str]) -> str:
        return self._read(types)

    def _rejects(self) -> str | None:
        types = self._careful_types()
        if not self._unfit(types):
            return None
        misfits = self._misfits(types, [name for name, _ in self._first.layout if name in types], ", ")
        first = self._first.source.first_line or 1
        return f"SELECT file, nth + {first} AS row, reason, raw FROM ({misfits}) ORDER BY ALL"


@dataclass(frozen=True)
class Ndjson(Json):
    """Files with an object on each line; a line that holds none is set aside."""

    @property
    def _sources(self) -> tuple[SourceFile, ...]:
        return tuple(replace(each, lined=True) for each in super()._sources)

    @property
    def _complete(self) -> Callable[[duckdb.DuckDBPyConnection, str], None]:
        return lambda connection, table: objects.tell_lines(connection, table, self._sources)

    def _fast_source(self, types: dict[str, str]) -> str:
        options = [f"maximum_object_size = {self._buffer}"] if self._buffer < groups.BUFFER else []
        return self._read(types, *options)

    def _careful_source(self, types: dict[str, str]) -> str:
        return self._all_rows(types)

    def _all_rows(self, types: dict[str, str]) -> str:
        """The lines in their order, with the text of each; one that is no JSON has none.

        What DuckDB's reader of columns gives when it ignores errors is not sure: it takes values from the row behind a
        line that breaks off.
        """
        compression = READERS_NAMES[self._first.compression]
        shape = literal(json.dumps({each.name: types[each.name] for each in self.columns}))
        return (
            f"(SELECT {PATH}, json AS {_OBJECT}, unnest(json_transform(json, {shape})) "
            f"FROM read_ndjson_objects({self._paths}, filename = '{PATH}', compression = '{compression}', "
            f"ignore_errors = true))"
        )

    def _bad(self, types: dict[str, str]) -> str:
        return f"{_NO_OBJECT} OR {super()._bad(types)}"

    def _rejects(self) -> str:
        """The lines that hold no object, or one with a value that does not fit; those that are no JSON without a text,
        which `_complete` adds."""
        types = self._careful_types()
        whys = self._reasons(types)
        unfit = f"nullif(concat_ws('; ', {', '.join(whys)}), '')" if whys else "NULL"
        reason = f"CASE WHEN {_NO_OBJECT} THEN 'is no JSON object' ELSE {unfit} END"
        rows = f"SELECT {PATH}, row_number() OVER () AS n, {reason} AS reason, {_OBJECT} FROM {self._all_rows(types)}"
        raw = f"CASE WHEN reason IS NOT NULL THEN CAST({_OBJECT} AS VARCHAR) END AS raw"
        return (
            f"SELECT name AS file, n - min(n) OVER (PARTITION BY name) + 1 AS row, reason, raw "
            f"FROM (SELECT {PATH}, n, reason, {raw} FROM ({rows})) JOIN {self._names()} USING ({PATH}) "
            f"QUALIFY reason IS NOT NULL ORDER BY file, row"
        )
