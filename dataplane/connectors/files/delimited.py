"""Reading files of delimited text, and telling of each line that was refused where it stands and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge

import duckdb

from dataplane.connectors.files import casts, groups
from dataplane.connectors.files.careful import CarefulGroup
from dataplane.connectors.files.groups import PATH, struct, unfit
from dataplane.connectors.files.lines import blank_records, closed, lines_of
from dataplane.connectors.reading import Part, renumber
from dataplane.connectors.schema import Column
from dataplane.provenance import MAX_GAPS
from dataplane.relations import identifier, literal

# A thread that begins to read at such a piece may take the lines of a value for rows, so files with quotes are read in
# turn; that takes a quarter longer. What stands behind a quote that is never closed is lost then, without a word; of
# that the threads tell. Where most lines are refused, the threads lose what lies behind the last whole piece of a file.
_IN_TURN = "parallel = false"
_OPEN_QUOTE = "unterminated quote"
_MARK = 0xFEFF
_LONG_LINE = "Maximum line size"


@dataclass(frozen=True)
class Delimited(CarefulGroup):
    """Files of CSV and the like."""

    def part(self, check: Callable[[], None] | None) -> Part:
        exact = Part(
            self._chosen(self._careful()),
            rejects=self._careful_rejects(),
            files=self._sources,
            origin=self._origin,
            fatal=_OPEN_QUOTE,
            check=check,
            complete=self._numbered,
            lines=self._lines,
        )
        fast = replace(
            exact,
            complete=None,
            query=self._chosen(self._fast()),
            rejects=self._rejects(""),
            room=self._buffer,
            longer=(_LONG_LINE, _OPEN_QUOTE),
            lined=not self._first.quoted,
        )
        exact = self._with_quotes(exact) if self.settings.quote else exact
        return replace(self._with_quotes(fast) if self._first.quoted else fast, careful=exact)

    def _with_quotes(self, part: Part) -> Part:
        """A part that is read in turn, and beside its rejects the quotes that are never closed."""
        read = self._read({}, self._stored("_quotes"), in_turn=False)
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

    def _lines(self, place: int, numbers: Collection[int]) -> dict[int, int]:
        return lines_of(self.files[place].source, self.settings, numbers, to_the_end=not self.sample)

    @property
    def _separator(self) -> str:
        return self.settings.decimal_separator

    @property
    def _date_format(self) -> str | None:
        return self.settings.date_format

    def _careful_type(self, column: Column) -> str:
        return "VARCHAR" if casts.texted(column.type) else column.type

    def _fast_value(self, column: Column, made: str | None) -> str:
        value, spoilt = super()._fast_value(column, made), self._spoilt(column)
        return f"CASE WHEN {spoilt[1]} THEN {casts.stop(column.type)} ELSE {value} END" if spoilt else value

    def _spoilt(self, column: Column) -> tuple[str, str] | None:
        """Where files were joined, a mark stands before a line, and DuckDB takes a quote behind it for text."""
        if column.name != self._first.layout[0][0] or column.type.upper() != "VARCHAR":
            return None
        # Measured: a third of what starts_with() costs.
        text = identifier(column.name)
        marked = f"coalesce({text} >= chr({_MARK}) AND {text} < chr({_MARK + 1}), false)"
        return "a byte order mark stands before it, as where files were joined", marked

    def _fast_source(self, types: dict[str, str]) -> str:
        return self._read(types, self._stored(""), fast=True, in_turn=self._first.quoted)

    def _careful_source(self, types: dict[str, str]) -> str:
        return self._read(types, self._stored("_careful"))

    def _all_rows(self, types: dict[str, str]) -> str:
        return self._read(types, ["ignore_errors = true"])

    def _read(self, types: dict[str, str], refused: list[str], *, fast: bool = False, in_turn: bool = True) -> str:
        """The reader's call. refused: what becomes of lines that it refuses. in_turn: by one thread."""
        settings = self.settings
        options = [
            *self._options,
            f"columns = {struct({name: types.get(name, 'VARCHAR') for name, _ in self._first.layout})}",
            "auto_detect = false",
            f"header = {str(settings.header).lower()}",
            f"skip = {settings.skip}",
            f"delim = {literal(settings.separator)}",
            f"quote = {literal(settings.quote or '')}",
            f"escape = {literal((settings.escape or settings.quote or '') if settings.quote else '')}",
            f"nullstr = [{', '.join(literal(each) for each in settings.null_values)}]",
            f"decimal_separator = {literal(settings.decimal_separator)}",
            f"buffer_size = {self._buffer if fast else groups.BUFFER}",
            f"new_line = '{self._first.line_end}'",
        ]
        if in_turn:
            options.append(_IN_TURN)
        if settings.date_format:
            options.append(f"dateformat = {literal(settings.date_format)}")
        return f"read_csv({self._paths}, {', '.join([*options, *refused])})"

    def _stored(self, kind: str) -> list[str]:
        """Lines that are refused are stored in tables of this kind."""
        table = self._table(kind)
        return ["store_rejects = true", f"rejects_table = '{table}'", f"rejects_scan = '{table}_scan'"]

    def _table(self, kind: str) -> str:
        return f"__rejects_{self.number}{kind}"

    def _careful_rejects(self) -> str:
        """The rows that the careful read left out, numbered below 0 until all are `_numbered`, and what DuckDB's reader
        refused itself."""
        types = self._careful_types()
        own = self._rejects("_careful")
        if not self._unfit(types):
            return own
        misfits = self._misfits(types, [name for name, _ in self._first.layout], self.settings.separator)
        both = f"SELECT file, -1 - nth AS row, reason, raw FROM ({misfits}) UNION ALL ({own})"
        return f"SELECT * FROM ({both}) ORDER BY file, abs(row)"

    def _numbered(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        """Number the rows that the careful read left out among all records of their file: the reader counts those that
        it refuses, and blank ones, but gives no row for them. Behind the first ten thousand no more are looked for."""
        for each in self.files:
            path, first = each.source.ref.path, each.source.first_line or 1
            left_out = f"SELECT -1 - row FROM {table} WHERE file = ? AND row < 0 ORDER BY ALL LIMIT {MAX_GAPS}"
            ordinals = [nth for (nth,) in connection.execute(left_out, [path]).fetchall()]
            if not ordinals:
                continue
            own = f"SELECT row FROM ({self._rejects('_careful')}) WHERE file = ? ORDER BY ALL LIMIT {MAX_GAPS}"
            refused = [row for (row,) in connection.execute(own, [path]).fetchall()]
            blank = blank_records(each.source, self.settings) if len(each.layout) > 1 else ()
            numbers = list(_among(ordinals, merge(refused, (row for row in blank if row >= first)), first))
            renumber(connection, table, path, {-1 - nth: at for nth, at in zip(ordinals, numbers, strict=True)})
            behind = f"UPDATE {table} SET row = -1 - row + {numbers[-1] - ordinals[-1]} WHERE file = ? AND row < 0"
            connection.execute(behind, [path])

    def _rejects(self, kind: str) -> str:
        """One row for each rejected line."""
        wanted = " ".join(f"WHEN {literal(each.name)} THEN {literal(unfit(each))}" for each in self.columns)
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


def _among(ordinals: Iterable[int], passed: Iterator[int], first: int) -> Iterator[int]:
    """The numbers of the rows with these ordinals from 0 among all records: of these, those in `passed` are no rows.
    It is asked no further than that takes."""
    skipped, last, following = 0, 0, next(passed, None)
    for nth in ordinals:
        while following is not None and following <= first + nth + skipped:
            skipped += following != last
            last, following = following, next(passed, None)
        yield first + nth + skipped
