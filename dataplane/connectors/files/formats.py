"""The SQL that reads a group of files of one layout into the declared schema, and tells what it could not take."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import duckdb

from dataplane.connectors.files import casts, objects
from dataplane.connectors.files.encodings import READERS_NAMES, Compression, head
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import Layout
from dataplane.connectors.files.lines import closed, lines_of
from dataplane.connectors.files.settings import FileSettings, Format
from dataplane.connectors.files.texts import ROW, TABLE, Texts
from dataplane.connectors.reading import Part, SourceFile
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.relations import identifier, literal, path_list

# DuckDB reads a file in pieces of this size, of which each holds at least one line.
BUFFER = 8_000_000
# Measured on 5 M lines whose order is kept: pieces of 2 MB need 60 MB less than those of 8 MB, and a hundredth more
# time. Files with longer lines, or larger objects, are read again.
SMALL_BUFFER = 2_000_000
# A thread that begins to read at such a piece may take the lines of a value for rows, so files with quotes are read in
# turn; that takes a quarter longer. What stands behind a quote that is never closed is lost then, without a word; of
# that the threads tell.
_IN_TURN = "parallel = false"
_OPEN_QUOTE = "unterminated quote"
_LONG_LINE = "Maximum line size"
ORIGIN = "__origin"
PATH = "__path"
_OBJECT = "__object"
# A bare null is a row without values, in the fast read as well.
_NO_OBJECT = f"coalesce(json_type({_OBJECT}), '') NOT IN ('OBJECT', 'NULL')"


@dataclass(frozen=True)
class GroupFile:
    """One file of a group: where DuckDB reads it (a copy, perhaps), and what it says about its columns.

    blank: so many empty lines stand before its header. quoted: a quote stands in its beginning, and it is
    larger than a piece. line_end: what ends each of its lines, as the reader is told; empty where nothing has to be.
    """

    source: SourceFile
    absolute: str
    format: Format
    compression: Compression
    layout: Layout
    weight: int
    texts: Texts | None = None
    blank: int = 0
    quoted: bool = False
    line_end: str = ""

    def alike(self, other: GroupFile) -> bool:
        """Whether one statement can read both."""
        if self.texts or other.texts:
            return False
        mine = self.format, self.compression, self.layout, self.blank, self.quoted, self.line_end
        return mine == (other.format, other.compression, other.layout, other.blank, other.quoted, other.line_end)


@dataclass(frozen=True)
class Group:
    """Files that one statement reads. `number` tells the parts of a reading apart."""

    settings: FileSettings
    columns: tuple[Column, ...]
    stream: StreamConfig
    files: tuple[GroupFile, ...]
    number: int
    sample: bool = False

    def part(self, check: Callable[[], None] | None) -> Part:
        """The part, with its careful twin where a fast read may meet a value that does not fit."""
        sources = tuple(each.source for each in self.files)
        origin = ORIGIN if len(self.files) > 1 else None
        if (texts := self.files[0].texts) is not None:
            return self._typed(texts, check)
        if self.format == "ndjson":
            return self._by_lines(check)
        if self.format == "parquet":
            return Part(self._chosen(self._parquet()), files=sources, origin=origin, check=check)
        fast, careful = self._chosen(self._fast()), self._chosen(self._careful())
        exact = Part(careful, rejects=self._careful_rejects(), files=sources, origin=origin, check=check)
        if not self._delimited:
            return replace(exact, query=fast, rejects=None, careful=exact)
        exact = replace(exact, fatal=_OPEN_QUOTE, lines=self._lines)
        twin = replace(
            exact, query=fast, rejects=self._rejects(""), room=self._buffer, longer=(_LONG_LINE, _OPEN_QUOTE)
        )
        exact = self._with_quotes(exact) if self.settings.quote else exact
        return replace(self._with_quotes(twin) if self.files[0].quoted else twin, careful=exact)

    def _with_quotes(self, part: Part) -> Part:
        """A part that is read in turn, and beside its rejects the quotes that are never closed."""
        read = self._source({}, rejects="_quotes", in_turn=False)
        told = f"SELECT * FROM ({self._rejects('_quotes')}) WHERE contains(reason, {literal(_OPEN_QUOTE)})"
        return replace(
            part,
            prepare=(f"CREATE OR REPLACE TEMP TABLE __quotes AS SELECT count(*) AS rows FROM {read}",),
            doubt=self._doubt,
            rejects=f"({part.rejects}) UNION ALL {told}",
        )

    def _doubt(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take back what the threads told of quotes in a file whose end shows that all are closed."""
        table = self._table("_quotes")
        of_file = f"SELECT 1 FROM {table}_scan s WHERE s.scan_id = {table}.scan_id AND s.file_id = {table}.file_id"
        open_ = f"contains(error_message, {literal(_OPEN_QUOTE)})"
        for each in self.files:
            where = f"WHERE {open_} AND EXISTS ({of_file} AND s.file_path = {literal(each.absolute)})"
            told = connection.execute(f"SELECT count(*) FROM {table} {where}").fetchall()[0][0]
            if told and closed(each.source, self.settings):
                connection.execute(f"DELETE FROM {table} {where}")

    @property
    def _buffer(self) -> int:
        return BUFFER if self.sample else SMALL_BUFFER

    def _typed(self, table: Texts, check: Callable[[], None] | None) -> Part:
        """The file's texts as a table of the instance, from which the rows are taken, and those that do not fit."""
        file = self.files[0]
        there = [each for each in self.columns if each.name in self._there]
        unfit = {
            each: f"({identifier(each.name)} IS NOT NULL AND ({table.value(each, self.settings)}) IS NULL)"
            for each in there
        }
        bad = " OR ".join([f"{table.refusal} IS NOT NULL", *unfit.values()])
        items = self._items(lambda each: table.value(each, self.settings))
        reasons = ", ".join(f"CASE WHEN {each} THEN {literal(_reason(column))} END" for column, each in unfit.items())
        texts = ", ".join(f"coalesce(CAST({identifier(name)} AS VARCHAR), '')" for name in table.names)
        rejects = (
            f"SELECT {literal(file.source.ref.path)} AS file, {ROW} AS row, "
            f"concat_ws('; ', {table.refusal}, {reasons or 'NULL'}) AS reason, concat_ws(', ', {texts}) AS raw "
            f"FROM {TABLE} WHERE {bad} ORDER BY {ROW}"
        )
        all_texts = table.texts(file.absolute, self.settings.null_values)
        return Part(
            self._chosen(f"SELECT {items} FROM {TABLE} WHERE NOT ({bad})"),
            rejects=rejects,
            files=(file.source,),
            prepare=(f"CREATE OR REPLACE TEMP TABLE {TABLE} AS {all_texts}",),
            check=check,
        )

    def _lines(self, place: int, numbers: Collection[int]) -> dict[int, int]:
        return lines_of(self.files[place].source, self.settings, numbers)

    def _by_lines(self, check: Callable[[], None] | None) -> Part:
        """NDJSON, whose careful twin sets aside lines that hold no object."""
        exact = Part(
            self._chosen(self._careful()),
            rejects=self._objects_rejects(),
            files=tuple(replace(each.source, lined=True) for each in self.files),
            origin=ORIGIN if len(self.files) > 1 else None,
            check=check,
            complete=self._complete,
        )
        return replace(exact, query=self._chosen(self._fast()), rejects=None, careful=exact)

    def _complete(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        objects.tell_lines(connection, table, [each.source for each in self.files])

    @property
    def format(self) -> Format:
        return self.files[0].format

    @property
    def _delimited(self) -> bool:
        return self.format in ("csv", "tsv")

    @property
    def _there(self) -> dict[str, str]:
        return dict(self.files[0].layout)

    def _chosen(self, query: str) -> str:
        """The selected columns of the rows that the filter lets through."""
        names = self.stream.select or tuple(each.name for each in self.columns)
        items = [identifier(each) for each in names]
        if len(self.files) > 1:
            items.append(ORIGIN)
        where = f" WHERE (\n{self.stream.row_filter}\n)" if self.stream.row_filter else ""
        return f"SELECT {', '.join(items)} FROM ({query}){where}"

    def _origin(self) -> str:
        if len(self.files) == 1:
            return ""
        paths = path_list(each.absolute for each in self.files)
        return f", list_position({paths}, {PATH}) - 1 AS {ORIGIN}"

    def _fast(self) -> str:
        date_format = self.settings.date_format if self._delimited else None
        types = {each.name: casts.read_type(each.type, date_format=date_format) for each in self.columns}
        separator = self.settings.decimal_separator if self._delimited else "."
        items = self._items(
            lambda each: casts.fast(identifier(each.name), each.type, separator=separator, date_format=date_format)
        )
        source = self._source(types, rejects="", fast=True, in_turn=self.files[0].quoted)
        return f"SELECT {items}{self._origin()} FROM {source}"

    def _careful_types(self) -> dict[str, str]:
        """Texts for every type that a value might be bent to fit; what DuckDB's reader itself refuses stays its own."""
        keep = () if self._delimited else ("JSON", "STRUCT", "MAP", "LIST")
        types = {}
        for each in self.columns:
            own = self._delimited and not casts.guarded(each.type)
            nested = not self._delimited and (each.type.upper().startswith(keep) or each.type.endswith("]"))
            types[each.name] = each.type if own else "JSON" if nested else "VARCHAR"
        return types

    def _exact(self, each: Column, types: dict[str, str]) -> str:
        if types[each.name] == each.type:
            return identifier(each.name)
        separator = self.settings.decimal_separator if self._delimited else "."
        date_format = self.settings.date_format if self._delimited else None
        return casts.careful(identifier(each.name), each.type, separator=separator, date_format=date_format)

    def _unfit(self, types: dict[str, str]) -> list[tuple[Column, str]]:
        """For each column that is read as text: the condition of a value that does not fit."""
        return [
            (each, f"({identifier(each.name)} IS NOT NULL AND ({self._exact(each, types)}) IS NULL)")
            for each in self.columns
            if each.name in self._there and types[each.name] != each.type
        ]

    def _careful(self) -> str:
        types = self._careful_types()
        items = self._items(lambda each: self._exact(each, types))
        bad = " OR ".join(condition for _, condition in self._unfit(types)) or "false"
        if self.format == "ndjson":
            bad = f"{_NO_OBJECT} OR {bad}"
            return f"SELECT {items}{self._origin()} FROM {self._objects(types)} WHERE NOT ({bad})"
        return f"SELECT {items}{self._origin()} FROM {self._source(types, rejects='_careful')} WHERE NOT ({bad})"

    def _objects(self, types: dict[str, str]) -> str:
        """The lines of NDJSON in their order, with the text of each; one that is no JSON has none.

        What DuckDB's reader of columns gives when it ignores errors is not sure: it takes values from the row behind a
        line that breaks off.
        """
        paths = path_list(each.absolute for each in self.files)
        compression = READERS_NAMES[self.files[0].compression]
        shape = literal(json.dumps({each.name: types[each.name] for each in self.columns}))
        return (
            f"(SELECT {PATH}, json AS {_OBJECT}, unnest(json_transform(json, {shape})) "
            f"FROM read_ndjson_objects({paths}, filename = '{PATH}', compression = '{compression}', "
            f"ignore_errors = true))"
        )

    def _objects_rejects(self) -> str:
        """The lines that hold no object, or one with a value that does not fit; those that are no JSON without a text,
        which `_complete` adds."""
        types = self._careful_types()
        whys = [f"CASE WHEN {bad} THEN {literal(_reason(each))} END" for each, bad in self._unfit(types)]
        unfit = f"nullif(concat_ws('; ', {', '.join(whys)}), '')" if whys else "NULL"
        reason = f"CASE WHEN {_NO_OBJECT} THEN 'is no JSON object' ELSE {unfit} END"
        rows = f"SELECT {PATH}, row_number() OVER () AS n, {reason} AS reason, {_OBJECT} FROM {self._objects(types)}"
        raw = f"CASE WHEN reason IS NOT NULL THEN CAST({_OBJECT} AS VARCHAR) END AS raw"
        return (
            f"SELECT name AS file, n - min(n) OVER (PARTITION BY name) + 1 AS row, reason, raw "
            f"FROM (SELECT {PATH}, n, reason, {raw} FROM ({rows})) JOIN {self._names()} USING ({PATH}) "
            f"QUALIFY reason IS NOT NULL ORDER BY file, row"
        )

    def _careful_rejects(self) -> str | None:
        """The rows that the careful read left out, with their lines, and what DuckDB's reader refused itself."""
        types = self._careful_types()
        unfit = self._unfit(types)
        if not unfit:
            return self._rejects("_careful") if self._delimited else None
        reasons = ", ".join(f"CASE WHEN {bad} THEN {literal(_reason(each))} END" for each, bad in unfit)
        separator = self.settings.separator if self._delimited else ", "
        names = [identifier(name) for name, _ in self.files[0].layout if self._delimited or name in types]
        texts = ", ".join(f"coalesce(CAST({name} AS VARCHAR), '')" for name in names)
        raw = f"concat_ws({literal(separator)}, {texts})"
        known = self._names()
        first = self.files[0].source.first_line or 1
        rows = (
            f"SELECT {PATH}, row_number() OVER () - 1 AS n, nullif(concat_ws('; ', {reasons}), '') AS reason, "
            f"{raw} AS raw FROM {self._source(types, rejects=None)}"
        )
        # A row's place in its file: its number less that of the first row of the file.
        bad = (
            f"SELECT name AS file, n - min(n) OVER (PARTITION BY name) AS nth, reason, raw "
            f"FROM ({rows}) JOIN {known} USING ({PATH}) QUALIFY reason IS NOT NULL"
        )
        if not self._delimited:
            return f"SELECT file, nth + {first} AS row, reason, raw FROM ({bad}) ORDER BY ALL"
        own = self._rejects("_careful")
        before = "row_number() OVER (PARTITION BY file ORDER BY row) - 1"
        shifts = f"SELECT file, row - {first} - ({before}) AS nth FROM ({own})"
        skipped = f"SELECT count(*) FROM ({shifts}) s WHERE s.file = b.file AND s.nth <= b.nth"
        return (
            f"SELECT b.file, b.nth + {first} + ({skipped}) AS row, reason, raw FROM ({bad}) b "
            f"UNION ALL SELECT file, row, reason, raw FROM ({own}) ORDER BY file, row"
        )

    def _items(self, value: Callable[[Column], str]) -> str:
        """Each declared column by name; one that these files lack is NULL."""
        return ", ".join(
            f"{value(each) if each.name in self._there else f'CAST(NULL AS {each.type})'} AS {identifier(each.name)}"
            for each in self.columns
        )

    def _parquet(self) -> str:
        def value(each: Column) -> str:
            name, found = identifier(each.name), self._there[each.name]
            if found == each.type:
                return name
            text = f"CAST({name} AS VARCHAR)"
            stop = f"error({literal(f'{each.name} is {found} in the file: {_reason(each)}')})"
            return (
                f"CASE WHEN {name} IS NULL THEN NULL "
                f"ELSE coalesce({casts.careful(text, each.type)}, CAST({stop} AS {each.type})) END"
            )

        paths = path_list(each.absolute for each in self.files)
        return f"SELECT {self._items(value)}{self._origin()} FROM read_parquet({paths}, filename = '{PATH}')"

    def _source(self, types: dict[str, str], *, rejects: str | None, fast: bool = False, in_turn: bool = True) -> str:
        """The reader's call. rejects: what tells its tables apart; None drops what it refuses. in_turn: by one thread,
        where values may have several lines."""
        buffer = self._buffer if fast else BUFFER
        paths = path_list(each.absolute for each in self.files)
        options = [f"filename = '{PATH}'", f"compression = '{READERS_NAMES[self.files[0].compression]}'"]
        if not self._delimited:
            named = {each.name: types[each.name] for each in self.columns}
            if buffer < BUFFER and self.format == "ndjson":
                options.append(f"maximum_object_size = {buffer}")
            if self.format == "ndjson":
                # Else one line that is no object makes a value of each whole line, where one column is asked for.
                options.append("records = 'true'")
            return (
                f"read_json({paths}, columns = {_struct(named)}, format = {literal(self._shape)}, {', '.join(options)})"
            )
        settings = self.settings
        named = {name: types.get(name, "VARCHAR") for name, _ in self.files[0].layout}
        options += [
            f"columns = {_struct(named)}",
            "auto_detect = false",
            f"header = {str(settings.header).lower()}",
            f"skip = {settings.skip}",
            f"delim = {literal(settings.separator)}",
            f"quote = {literal(settings.quote or '')}",
            f"escape = {literal((settings.escape or settings.quote or '') if settings.quote else '')}",
            f"nullstr = [{', '.join(literal(each) for each in settings.null_values)}]",
            f"decimal_separator = {literal(settings.decimal_separator)}",
            f"buffer_size = {buffer}",
            f"new_line = '{self.files[0].line_end}'",
        ]
        if settings.quote and in_turn:
            options.append(_IN_TURN)
        if settings.date_format:
            options.append(f"dateformat = {literal(settings.date_format)}")
        if rejects is None:
            options.append("ignore_errors = true")
        else:
            options += [
                "store_rejects = true",
                f"rejects_table = '{self._table(rejects)}'",
                f"rejects_scan = '{self._table(rejects)}_scan'",
            ]
        return f"read_csv({paths}, {', '.join(options)})"

    @property
    def _shape(self) -> str:
        return self.files[0].layout[0][1]

    def _table(self, kind: str) -> str:
        return f"__rejects_{self.number}{kind}"

    def _names(self) -> str:
        pairs = ", ".join(f"({literal(each.absolute)}, {literal(each.source.ref.path)})" for each in self.files)
        return f"(VALUES {pairs}) AS known({PATH}, name)"

    def _rejects(self, kind: str) -> str:
        """One row for each rejected line."""
        wanted = " ".join(f"WHEN {literal(each.name)} THEN {literal(_reason(each))}" for each in self.columns)
        reason = (
            f"CASE error_type WHEN 'CAST' THEN CASE column_name {wanted} ELSE error_message END "
            f"WHEN 'MISSING COLUMNS' THEN 'too few columns' WHEN 'TOO MANY COLUMNS' THEN 'too many columns' "
            f"ELSE error_message END"
        )
        return (
            f"SELECT name AS file, CAST(line AS BIGINT) AS row, string_agg(DISTINCT {reason}, '; ') AS reason, "
            f"trim(any_value(csv_line), chr(10) || chr(13)) AS raw FROM {self._table(kind)} AS e "
            f"JOIN {self._table(kind)}_scan AS s USING (scan_id, file_id) "
            f"JOIN {self._names()} ON s.file_path = known.{PATH} GROUP BY name, line ORDER BY name, line"
        )


def json_shape(format_: Format, found: Found) -> str:
    """How DuckDB is told to read a JSON file: one array, or one object after the other."""
    if format_ == "ndjson":
        return "newline_delimited"
    return "array" if head(found, 4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") else "auto"


def _reason(column: Column) -> str:
    return f"{column.name} is not {column.type}"


def _struct(types: dict[str, str]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in types.items()) + "}"
