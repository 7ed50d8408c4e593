"""Rules on a table: one query a rule, samples only where something failed, and the bad rows told apart for quarantine.

A rule that everything passes costs its one query. For one that fails, the places of its first bad rows are asked for,
and the rows themselves are read at the end, all rules' samples at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from dataplane.checks.conditions import Asked, Reference
from dataplane.checks.outcome import SAMPLES, Outcome
from dataplane.checks.places import Place, Places
from dataplane.checks.rules import Rule
from dataplane.errors import ConfigurationError, DataError, ManifoldError
from dataplane.provenance import MAX_GAPS, Origin
from dataplane.relations import identifier, literal, path_list, relation_sql
from dataplane.statements import fault
from dataplane.steps.base import Table
from dataplane.storage import Storage
from dataplane.types import is_integer

BAD = "bad_rows"
"""The temporary table of rows to set aside: where they stand, and why."""
SEGMENTS = "segments"

AT = "__file, __ordinal"
LONGEST = 200

# The fields of a `Segment`, as lists.
_SEGMENT = {"staged": ["VARCHAR"], "first": ["BIGINT"], "file": ["VARCHAR"], "shift": ["BIGINT"]}
_OURS = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
_ROWS = (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)


@dataclass
class Check:
    """The rules of one step on one table, on a connection that may read the table's files."""

    connection: duckdb.DuckDBPyConnection
    table: Table
    storage: Storage
    references: Mapping[str, Table]
    place: str

    def __post_init__(self) -> None:
        self.plain = f"({relation_sql(self.table, self.storage)})"
        self.positioned = f"({relation_sql(self.table, self.storage, positions=True)})"
        self._where = Places(self.table, self.storage)
        self._referred = {
            key: Reference(each, f"({relation_sql(each, self.storage)})") for key, each in self.references.items()
        }

    def run(self, rules: Sequence[Rule], done: Callable[[int], object]) -> list[Outcome]:
        """The outcome of every rule, in order; `done` hears how many there are after each. Raises ManifoldError."""
        outcomes: list[Outcome] = []
        places: list[list[Place]] = []
        for position, rule in enumerate(rules):
            asked = self._asked(rule, position)
            started = time.perf_counter()
            failed = self._count(asked)
            passed = self._passed(rule, failed)
            places.append(self._places(asked) if failed and not passed else [])
            seconds = time.perf_counter() - started
            outcomes.append(Outcome(rule, position, passed, failed, self.table.rows, round(seconds, 4)))
            done(position + 1)
        self._sample(outcomes, places)
        return outcomes

    def tell_apart(self, outcomes: Sequence[Outcome]) -> None:
        """Fill the temporary table `BAD` with the rows that these failed rules refuse, and why."""
        reasons = []
        for outcome in outcomes:
            asked = self._asked(outcome.rule, outcome.position)
            reasons.append(f"CASE WHEN {self._refuses(asked)} THEN {literal(outcome.rule.title)} END")
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {BAD} AS SELECT {AT}, reason FROM "
            f"(SELECT {AT}, concat_ws('; ', {', '.join(reasons)}) AS reason FROM {self.positioned} AS input) "
            "WHERE reason <> ''"
        )

    def good(self) -> str:
        """The SELECT of the rows that are not in `BAD`, with the table's own columns.

        They are in the order of the table where `kept_origins` has to tell of them; a join leaves none.
        """
        columns = ", ".join(identifier(each.name) for each in self.table.columns)
        paths = path_list(self.storage.absolute(each.path) for each in self.table.files)
        order = f" ORDER BY list_position({paths}, __file), __ordinal" if self.table.origins else ""
        return f"SELECT {columns} FROM {self.positioned} AS input ANTI JOIN {BAD} USING ({AT}){order}"

    def kept_origins(self, staged: str) -> tuple[Origin, ...]:
        """Where the rows of `good` came from, which were written to this one file.

        Nothing where a file of the table has no origin, or where there are more gaps than anybody wants to keep.
        """
        origins = {each.staged: each for each in self.table.origins}
        if any(each.path not in origins for each in self.table.files):
            return ()
        places = self.connection.execute(f"SELECT {AT} FROM {BAD} ORDER BY ALL LIMIT {MAX_GAPS + 1}").fetchall()
        if len(places) > MAX_GAPS:
            return ()
        gone: dict[str, list[int]] = {}
        for file, ordinal in places:
            gone.setdefault(file, []).append(ordinal)
        files = [
            left
            for each in self.table.files
            for left in origins[each.path].without(gone.get(self.storage.absolute(each.path), []))
        ]
        return (Origin(staged, tuple(files)),)

    def bad(self) -> str:
        """The SELECT of the rows in `BAD`, as rejected rows are kept."""
        values = ", ".join(f"{identifier(each.name)} := {_kept(each.name, each.type)}" for each in self.table.columns)
        return (
            f"SELECT file, __ordinal + shift AS row, reason, CAST(to_json(struct_pack({values})) AS VARCHAR) AS raw "
            f"FROM {self.positioned} AS input JOIN {BAD} USING ({AT}) "
            f"ASOF JOIN {SEGMENTS} USING (__file, __ordinal) ORDER BY file, row"
        )

    def know_places(self) -> None:
        """Fill the temporary table `SEGMENTS`, which tells where rows stand in the source."""
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {SEGMENTS} (__file VARCHAR, __ordinal BIGINT, file VARCHAR, shift BIGINT)"
        )
        found = self._where.segments()
        columns = {name: [getattr(each, name) for each in found] for name in _SEGMENT}
        # No parameters: for the first one in a process DuckDB imports pandas where that is installed.
        self.connection.execute(
            f"INSERT INTO {SEGMENTS} SELECT {', '.join(f'unnest(found.{name})' for name in _SEGMENT)} "
            f"FROM (SELECT from_json({literal(json.dumps(columns))}, {literal(json.dumps(_SEGMENT))}) AS found)"
        )

    def _asked(self, rule: Rule, position: int) -> Asked:
        return Asked(rule, f"{self.place}.rules[{position}]", self.table, self._referred)

    def _passed(self, rule: Rule, failed: int) -> bool:
        rows = self.table.rows
        if rule.row_count is not None:
            least, most = rule.row_count.min, rule.row_count.max
            return (least is None or rows >= least) and (most is None or rows <= most)
        if rule.null_fraction is not None:
            return rows == 0 or failed / rows <= rule.null_fraction.max
        return failed == 0

    def _count(self, asked: Asked) -> int:
        """How many rows fail, by exactly one query (none for a count of rows: the files say it)."""
        if asked.rule.kind == "row_count":
            return 0
        if asked.rule.kind == "unique":
            columns, there = _key(asked)
            return self._number(
                asked,
                f"SELECT coalesce(sum(rows - 1), 0)::BIGINT FROM (SELECT count(*) AS rows FROM {self.plain} AS input "
                f"WHERE {there} GROUP BY {columns} HAVING count(*) > 1)",
            )
        if asked.rule.kind == "expression":
            self._is_condition(asked)
        return self._number(asked, f"SELECT count(*) FROM {self.plain} AS input WHERE {asked.condition()}")

    def _is_condition(self, asked: Asked) -> None:
        """An expression has to be a condition: a number would silently be true."""
        nothing = f"(SELECT * FROM {self.plain} LIMIT 0) AS input"
        found = self._ask(asked, f"SELECT typeof(any_value((\n{asked.rule.expression}\n))) FROM {nothing}")[0][0]
        if found not in ("BOOLEAN", '"NULL"'):
            raise asked.wrong(f"the expression is {found}, not a condition", "Compare it with something.")

    def _places(self, asked: Asked) -> list[Place]:
        where = f"SELECT {AT} FROM {self.positioned} AS input"
        chosen = (
            self._surplus(asked, some=True) if asked.rule.kind == "unique" else f"{where} WHERE {asked.condition()}"
        )
        rows = self._ask(asked, f"{chosen} ORDER BY {AT} LIMIT {SAMPLES}")
        return [(file, int(row)) for file, row in rows]

    def _surplus(self, asked: Asked, *, some: bool = False) -> str:
        """The places of every row after the first of those that share a key; of `some` keys, enough for samples."""
        columns, there = _key(asked)
        among = f"{self.positioned} AS input"
        if some:
            # By hash: a join by the values may skip row groups by their minimum and maximum, and misses NaN and -0.
            there += (
                f" AND hash({columns}) IN (SELECT hash({columns}) FROM {among} WHERE {there} GROUP BY {columns} "
                f"HAVING count(*) > 1 ORDER BY min(__ordinal), {columns} LIMIT {SAMPLES})"
            )
        return (
            f"SELECT {AT} FROM {among} WHERE {there} "
            f"QUALIFY row_number() OVER (PARTITION BY {columns} ORDER BY {AT}) > 1"
        )

    def _refuses(self, asked: Asked) -> str:
        if asked.rule.kind != "unique":
            return asked.condition()
        return f"({AT}) IN ({self._surplus(asked)})"

    def _sample(self, outcomes: Sequence[Outcome], places: Sequence[Sequence[Place]]) -> None:
        """Read the rows at all these places, once, and give each rule its own."""
        wanted = sorted({each for group in places for each in group})
        if not wanted:
            return
        rows = self._rows(wanted)
        shown = self._where.shown(wanted)
        for outcome, group in zip(outcomes, places, strict=True):
            outcome.samples = [
                {"file": shown[each][0], "row": shown[each][1], "values": rows[each]} for each in group if each in rows
            ]

    def _rows(self, wanted: Sequence[Place]) -> dict[Place, dict[str, Any]]:
        """Rows by place, each value as JSON has it; long texts are cut, for samples are read by people."""
        values = ", ".join(f"{identifier(each.name)} := {_shown(each.name, each.type)}" for each in self.table.columns)
        numbers = ", ".join(str(each) for each in sorted({row for _, row in wanted}))
        pairs = ", ".join(f"({literal(file)}, {row})" for file, row in wanted)
        found = self.connection.execute(
            f"SELECT {AT}, struct_pack({values}) FROM {self.positioned} AS input "
            f"WHERE __ordinal IN ({numbers}) AND ({AT}) IN ({pairs})"
        ).fetchall()
        return {(file, int(row)): _plain(values) for file, row, values in found}

    def _ask(self, asked: Asked, query: str) -> list[tuple[Any, ...]]:
        """Run a query of a rule, and say of which rule when DuckDB refuses it."""
        try:
            return self.connection.execute(query).fetchall()
        except _OURS as error:
            raise self._refused(asked, error) from error
        except _ROWS as error:
            if asked.rule.kind != "expression":
                raise self._refused(asked, error) from error
            raise DataError(
                f"{asked.place}.expression: {_sentence(error)} Use TRY_CAST where a value may not fit.",
                code="expression_failed",
                evidence={"path": f"{asked.place}.expression", "expression": asked.rule.expression},
            ) from error

    def _refused(self, asked: Asked, error: duckdb.Error) -> ManifoldError:
        if asked.rule.expression is None:
            return asked.wrong(_sentence(error).rstrip("."), "Correct the rule.")
        placed = fault(str(error), asked.rule.expression)
        path = f"{asked.place}.expression"
        return ConfigurationError(
            f"{path}: {placed.what}. Columns are: {', '.join(each.name for each in self.table.columns)}.",
            code="rule_unfit",
            evidence={"path": path, "rule": asked.rule.written()},
        )

    def _number(self, asked: Asked, query: str) -> int:
        return int(self._ask(asked, query)[0][0])


def _key(asked: Asked) -> tuple[str, str]:
    """The columns of a key, and the condition that none of them is NULL."""
    names = [identifier(each) for each in asked.columns()]
    return ", ".join(names), " AND ".join(f"{each} IS NOT NULL" for each in names)


def _shown(name: str, type_: str) -> str:
    """A value for a sample: whole numbers and truth as they are, all else as text of a length that people read."""
    column = identifier(name)
    return column if type_ == "BOOLEAN" or is_integer(type_) else f"CAST({column} AS VARCHAR)[:{LONGEST}]"


def _kept(name: str, type_: str) -> str:
    """A value for the JSON of a rejected row. JSON has no NaN and no infinity, so these are texts there."""
    column = identifier(name)
    if type_ not in ("FLOAT", "DOUBLE"):
        return column
    return f"CASE WHEN isfinite({column}) THEN to_json({column}) ELSE to_json(CAST({column} AS VARCHAR)) END"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Without the character that PostgreSQL's JSON cannot hold."""
    return {name: each.replace("\0", "\ufffd") if isinstance(each, str) else each for name, each in values.items()}


def _sentence(error: duckdb.Error) -> str:
    """The first line of DuckDB's message as a sentence, without the kind of error before it."""
    text = str(error).partition("\n")[0].split(": ", 1)[-1].strip()
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
