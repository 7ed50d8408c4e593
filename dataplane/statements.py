"""What an operator wrote in SQL, looked at before it runs: one SELECT or one expression, made of allowed parts only.

The tree that is walked is DuckDB's own (`json_serialize_sql`), so nothing can mean one thing here and another there.
The walk is an allow-list: a kind of node it does not know is refused. Tables are the names that were given and the
statement's own WITH names, each only where it is in scope; functions are those of `dataplane.functions`. What runs is
the text itself, after it was parsed once more in the brackets that it will run in.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb

from dataplane import functions
from dataplane.errors import ConfigurationError
from dataplane.relations import literal

MAX_LENGTH = 200_000
_TABLES_TOLD = 20
_SNAPSHOT = re.compile(rb"\w+@\w+")
_NO_TEXT = "it holds a character that no text may hold"

_EXPRESSIONS = frozenset(
    [
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "OPERATOR",
        "POSITIONAL_REFERENCE",
        "STAR",
        "SUBQUERY",
        "WINDOW",
    ]
)
_QUERIES = frozenset(["SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"])
_SOURCES = frozenset(["BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION"])
_MODIFIERS = frozenset(
    [
        "ORDER_MODIFIER",
        "LIMIT_MODIFIER",
        "LIMIT_PERCENT_MODIFIER",
        "DISTINCT_MODIFIER",
        "ORDER_DEFAULT",
        "ASCENDING",
        "DESCENDING",
        "ORDER_ASCENDING",
        "ORDER_DESCENDING",
    ]
)
_KNOWN = _QUERIES | _SOURCES | _MODIFIERS
_CTE_NAME = re.compile(r"\w+")
_SHOWN = {
    "PARAMETER": "A parameter ($1 or ?) has no value here",
    "DEFAULT": "DEFAULT has no meaning here",
    "SHOW_REF": "DESCRIBE, SHOW and SUMMARIZE are no queries",
}


class StatementError(ConfigurationError):
    """SQL that cannot be used. `line` and `column` count from 1; None where the fault has no place of its own."""

    def __init__(
        self, what: str, remedy: str, *, code: str, line: int | None = None, column: int | None = None
    ) -> None:
        self.line, self.column = line, column
        self.what = what.rstrip(".")
        where = f"Line {line}, column {column}: " if line and column else f"Line {line}: " if line else ""
        said = what[:1].upper() + what[1:]
        super().__init__(
            f"{where}{said.rstrip('.')}. {remedy}".rstrip(),
            code=code,
            evidence={"line": line, "column": column, "statement_error": said, "remedy": remedy},
        )


@dataclass(frozen=True)
class Named:
    """What a statement names, in small letters for tables: those of WITH are among them."""

    tables: frozenset[str]
    parameters: frozenset[str]


def named_in(text: str) -> Named:
    """The tables and the `$parameters` of one statement, which is not checked. Raises StatementError where it cannot be
    read."""
    text = _readable(text)
    found = list(_nodes(_one_statement(text, parameters=True)["node"]))
    return Named(
        frozenset(str(each["table_name"]).lower() for each in found if each.get("type") == "BASE_TABLE"),
        frozenset(str(each["identifier"]) for each in found if each.get("class") == "PARAMETER"),
    )


def _readable(text: str) -> str:
    """A text without a semicolon at its end, and with snapshots in double quotes where it cannot be read as it is.

    Raises StatementError, placed in the text as it was written, where such quotes do not make it readable.
    """
    text = text.rstrip().removesuffix(";")
    if "@" in text and len(text) <= MAX_LENGTH and _parse(text).get("error"):
        quoted = _snapshots_in_quotes(text)
        parsed = _parse(quoted)
        if parsed.get("error"):
            raise _syntax_error(_placed_as_written(parsed, quoted, text), text, "")
        return quoted
    return text


def _snapshots_in_quotes(text: str) -> str:
    """`flights@3` and `flights@audited` in double quotes, wherever DuckDB's own lexer sees a name before the sign."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return text
    quoted, done = b"", 0
    for start, kind in duckdb.tokenize(text):
        name = _SNAPSHOT.match(raw, start) if kind == duckdb.token_type.identifier else None
        if name is not None and start >= done:
            quoted, done = quoted + raw[done:start] + b'"' + name[0] + b'"', name.end()
    return (quoted + raw[done:]).decode()


def _placed_as_written(parsed: dict[str, Any], quoted: str, text: str) -> dict[str, Any]:
    """A parser's refusal of the quoted text, with its position less the quotes that were put before it."""
    if "position" not in parsed:
        return parsed
    return {**parsed, "position": len(_written(quoted[: int(parsed["position"])], text))}


def _written(before: str, text: str) -> str:
    """The beginning of a text as it was written that became `before` when quotes were put around its snapshots."""
    length = 0
    for each in before:
        length += text[length : length + 1] == each
    return text[:length]


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(each)


def check_select(text: str, tables: Iterable[str], parameters: Iterable[str] = ()) -> str:
    """The text to run, without a semicolon at its end, and with the names of snapshots in double quotes.

    Raises StatementError for anything but one SELECT over these tables, with a `$name` only for these parameters.
    """
    written, text = text, _readable(text)
    given = frozenset(parameters)
    statement = _one_statement(text, parameters=bool(given))
    walk = _Walk(text, written, volatile=True, parameters=given)
    walk.node(statement["node"], frozenset(each.lower() for each in tables))
    _stands_in_brackets(f"SELECT * FROM (\n{text}\n)")
    return text


def check_expression(text: str) -> None:
    """Refuse anything but one expression over the columns of a row. Raises StatementError."""
    before = "SELECT "
    node = _one_statement(text, before)["node"]
    chosen = node.get("select_list", [])
    alone = set(node) <= {"type", "select_list", "from_table", "aggregate_handling"}
    if node["type"] != "SELECT_NODE" or not alone or node["from_table"]["type"] != "EMPTY" or len(chosen) != 1:
        raise StatementError("this is more than one expression", "Write a condition only.", code="sql_refused")
    if chosen[0].get("alias") or chosen[0]["class"] == "STAR":
        raise StatementError("this is no condition", "Write one that is true or false.", code="sql_refused")
    _Walk(text, text, volatile=False, before=before).node(chosen[0], frozenset())
    _stands_in_brackets(f"SELECT (\n{text}\n)")


def pattern_fault(pattern: str) -> str | None:
    """What is wrong with a regular expression, in DuckDB's words; None when it can be used."""
    try:
        with _parser(os.getpid()).cursor() as cursor:
            cursor.execute(f"SELECT regexp_matches('', {literal(pattern)})").fetchone()
    except duckdb.Error as error:
        return str(error).split(": ", 1)[-1].rstrip(".")
    except ValueError:
        return _NO_TEXT
    return None


def fault(said: str, text: str, before_lines: int = 0) -> StatementError:
    """DuckDB's refusal of a checked statement, placed in the operator's text that began after `before_lines` lines.

    text: as it was written, or as it ran.
    """
    message, _, rest = said.partition("\n\nLINE ")
    line = column = None
    found = re.match(r"(\d+): (.*)\n( *)\^", rest)
    if found:
        line = int(found[1]) - before_lines
        column = len(found[3]) - len(f"LINE {found[1]}: ") + 1
        lines = text.split("\n")
        # DuckDB shortens a long line on both sides, and then the caret no longer counts from the beginning.
        if not 1 <= line <= len(lines) or found[2].startswith("..."):
            column = None
        if not 1 <= line <= len(lines):
            line = None
        elif column:
            column = len(_written(found[2][: column - 1], lines[line - 1])) + 1
    what = message.split(": ", 1)[-1].replace("\n", " ").strip()
    return StatementError(what, "Correct the statement.", code="sql_error", line=line, column=column)


@dataclass
class _Walk:
    """One walk over the tree of a text. `before` was put before it for the parser's sake.

    written: the text before its snapshots were put in quotes; refusals are placed there.
    """

    text: str
    written: str
    volatile: bool
    before: str = ""
    parameters: frozenset[str] = frozenset()
    allowed: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.allowed = functions.PLAIN | (functions.VOLATILE if self.volatile else frozenset())

    def node(self, node: Any, tables: frozenset[str]) -> None:
        if isinstance(node, list):
            for each in node:
                self.node(each, tables)
            return
        if not isinstance(node, dict) or isinstance(node.get("type"), dict):
            return  # a name or a number, or a constant's value
        tables = self._with_ctes(node, tables)
        if node.get("type") == "RECURSIVE_CTE_NODE":
            tables |= {str(node.get("cte_name", "")).lower()}
        self._check(node, tables)
        for key, each in node.items():
            if key == "function" and node.get("type") == "TABLE_FUNCTION":
                self.node(each.get("children", []), tables)
            elif key != "cte_map":
                self.node(each, tables)

    def _with_ctes(self, node: dict[str, Any], tables: frozenset[str]) -> frozenset[str]:
        """Each WITH name may be used by those after it and by the statement, and nowhere else."""
        for entry in node.get("cte_map", {}).get("map", []):
            name = str(entry["key"])
            if not _CTE_NAME.fullmatch(name):
                raise self._refusal(None, f"the WITH name {name!r} is no plain name", "Use letters, digits and _.")
            self.node(entry["value"], tables)
            tables |= {name.lower()}
        return tables

    def _check(self, node: dict[str, Any], tables: frozenset[str]) -> None:
        kind, kinds = str(node.get("type", "")), str(node.get("class", ""))
        if kinds == "PARAMETER" and node.get("identifier") in self.parameters:
            return
        if kinds:
            if kinds not in _EXPRESSIONS:
                raise self._unknown(node, kinds)
            if kinds in ("FUNCTION", "WINDOW") and "function_name" in node:
                self._function(node, node, self.allowed)
        elif kind == "BASE_TABLE":
            self._table(node, tables)
        elif kind == "TABLE_FUNCTION":
            self._table_function(node)
        elif kind and kind not in _KNOWN and not kind.endswith("_TYPE_INFO"):
            raise self._unknown(node, kind)

    def _table(self, node: dict[str, Any], tables: frozenset[str]) -> None:
        name = str(node.get("table_name", ""))
        qualifier = node.get("schema_name") or node.get("catalog_name")
        if qualifier:
            raise self._refusal(node, f"the table `{qualifier}.{name}` is not here", "Use the plain name of an input.")
        if node.get("at_clause"):
            raise self._refusal(node, "AT is not possible here", "Name the snapshot's table.")
        if name.lower() not in tables:
            shown = sorted(tables)[:_TABLES_TOLD] + ["…"] * (len(tables) > _TABLES_TOLD)
            known = ", ".join(shown) or "none"
            raise self._refusal(node, f"there is no table `{name}`", f"Tables here are: {known}.")

    def _table_function(self, node: dict[str, Any]) -> None:
        called = node.get("function", {})
        if called.get("class") != "FUNCTION":
            raise self._unknown(node, str(called.get("class")))
        self._function(node, called, functions.TABLE)

    def _function(self, node: dict[str, Any], called: dict[str, Any], allowed: frozenset[str]) -> None:
        name = str(called.get("function_name", "")).lower()
        own = called.get("schema", "") in ("", "main") and not called.get("catalog")
        if own and (name in allowed or name in functions.OPERATORS):
            return
        if own and name in functions.VOLATILE:
            raise self._refusal(
                node,
                f"the function `{name}` answers differently each time",
                "A check needs a condition that stays as it is.",
            )
        remedy = "Data reaches SQL as inputs only; docs/sql.md lists what may be called."
        raise self._refusal(node, f"the function `{name}` is not allowed", remedy)

    def _unknown(self, node: dict[str, Any], kind: str) -> StatementError:
        if kind == "PARAMETER" and self.parameters:
            name = node.get("identifier", "")
            return self._refusal(node, f"the parameter `${name}` has no value", "Give it one.")
        what = _SHOWN.get(kind, f"{kind.replace('_', ' ').lower()} is not possible here")
        return self._refusal(node, what, "Write one SELECT.")

    def _refusal(self, node: dict[str, Any] | None, what: str, remedy: str) -> StatementError:
        """The error with the place of a node. DuckDB counts bytes; a node that was made up has the largest number."""
        raw = self.before.encode() + self.text.encode()
        offset = (node or {}).get("query_location")
        if not isinstance(offset, int) or offset > len(raw):
            return StatementError(what, remedy, code="sql_refused")
        begin = raw[:offset].decode(errors="ignore").removeprefix(self.before)
        line, column = _place(self.before + _written(begin, self.written), self.before)
        return StatementError(what, remedy, code="sql_refused", line=line, column=column)


def _one_statement(text: str, before: str = "", *, parameters: bool = False) -> dict[str, Any]:
    """The tree of the only statement in a text."""
    if not text.strip():
        raise StatementError("the statement is empty", "Write one SELECT.", code="sql_syntax")
    if len(text) > MAX_LENGTH:
        raise StatementError(
            f"the statement is longer than {MAX_LENGTH:,} characters", "Write a shorter one.", code="sql_refused"
        )
    parsed = _parse(before + text)
    if parsed.get("error"):
        raise _syntax_error(parsed, before + text, before)
    statements = parsed["statements"]
    if len(statements) != 1:
        number = len(statements) or "no"
        raise StatementError(f"this is {number} statements", "Write exactly one SELECT.", code="sql_refused")
    if statements[0].get("named_param_map") and not parameters:
        raise StatementError(_SHOWN["PARAMETER"], "Write the value itself.", code="sql_refused")
    return dict(statements[0])


def _syntax_error(parsed: dict[str, Any], text: str, before: str) -> StatementError:
    message = str(parsed.get("error_message", "not understood"))
    if "Only SELECT" in message or "CTE needs a SELECT" in message:
        return StatementError(
            "only one SELECT may stand here (and PIVOT only with the values of its columns listed by IN)",
            "Write one SELECT.",
            code="sql_refused",
        )
    remedy = "Correct the statement."
    if message.endswith('near "@"'):
        remedy = 'Put the name of a snapshot in double quotes, as in "flights@3".'
    if "position" not in parsed:
        return StatementError(message, remedy, code="sql_syntax")
    line, column = _place(text[: int(parsed["position"])], before)
    return StatementError(message, remedy, code="sql_syntax", line=line, column=column)


def _place(text_before: str, added: str) -> tuple[int, int]:
    """Line and column after a piece of text, both from 1, in the operator's own text."""
    line = text_before.count("\n") + 1
    column = len(text_before) - (text_before.rfind("\n") + 1) + 1
    return line, max(1, column - len(added)) if line == 1 else column


def _stands_in_brackets(text: str) -> None:
    parsed = _parse(text)
    if parsed.get("error") or len(parsed["statements"]) != 1:
        raise StatementError(
            "this does not stand alone", "Take out semicolons and whatever follows the statement.", code="sql_refused"
        )


# A step's text is parsed when its spec is read and again before it runs, and once more with the next run.
@functools.lru_cache(maxsize=64)
def _parse(text: str) -> dict[str, Any]:
    """The syntax tree of a text; nobody changes it."""
    try:
        # A cursor, because two threads may ask at once; the parser needs no table. The text is no parameter: for the
        # first one in a process DuckDB imports pandas where that is installed, a third of a second and 50 MB.
        with _parser(os.getpid()).cursor() as cursor:
            row = cursor.execute(
                f"SELECT json_serialize_sql({literal(text)}, skip_null := true, skip_empty := true, "
                "skip_default := true)"
            ).fetchone()
        return dict(json.loads(row[0])) if row else {}
    except RecursionError:
        pass
    except duckdb.Error as error:
        return {"error": True, "error_message": str(error).split("\n")[0]}
    except ValueError:
        return {"error": True, "error_message": _NO_TEXT}
    return {"error": True, "error_message": "the statement is nested too deeply"}


@functools.cache
def _parser(process: int) -> duckdb.DuckDBPyConnection:
    """An empty instance that only parses. One for each process: a forked child has none of its parent's threads."""
    return duckdb.connect(
        ":memory:", config={"threads": 1, "enable_external_access": False, "lock_configuration": True}
    )
