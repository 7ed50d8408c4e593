"""What an operator wrote in SQL, looked at before it runs: one SELECT or one expression, made of allowed parts only.

What runs is the text itself, after its tree was walked and it was parsed once more in the brackets that it will run in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dataplane.allowed import Walk
from dataplane.snapshot_names import readable, written
from dataplane.syntax import StatementError, one_statement, stands_in_brackets


@dataclass(frozen=True)
class Named:
    """What a statement names, in small letters for tables: those of WITH are among them."""

    tables: frozenset[str]
    parameters: frozenset[str]


def named_in(text: str) -> Named:
    """The tables and the `$parameters` of one statement, which is not checked. Raises StatementError where it cannot be
    read."""
    text = readable(text)
    found = list(_nodes(one_statement(text, parameters=True)["node"]))
    return Named(
        frozenset(str(each["table_name"]).lower() for each in found if each.get("type") == "BASE_TABLE"),
        frozenset(str(each["identifier"]) for each in found if each.get("class") == "PARAMETER"),
    )


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(each)


def check_select(text: str, tables: Iterable[str], parameters: Iterable[str] = ()) -> str:
    """The text to run, without a semicolon at its end, and with the names of snapshots in double quotes.

    Raises StatementError for anything but one SELECT over these tables, with a `$name` only for these parameters.
    """
    quoted, given = readable(text), frozenset(parameters)
    statement = one_statement(quoted, parameters=bool(given))
    walk = Walk(quoted, written=text, volatile=True, parameters=given)
    walk.node(statement["node"], frozenset(each.lower() for each in tables))
    stands_in_brackets(f"SELECT * FROM (\n{quoted}\n)")
    return quoted


def check_expression(text: str) -> None:
    """Refuse anything but one expression over the columns of a row. Raises StatementError."""
    before = "SELECT "
    node = one_statement(text, before)["node"]
    chosen = node.get("select_list", [])
    alone = set(node) <= {"type", "select_list", "from_table", "aggregate_handling"}
    if node["type"] != "SELECT_NODE" or not alone or node["from_table"]["type"] != "EMPTY" or len(chosen) != 1:
        raise StatementError("this is more than one expression", "Write a condition only.", code="sql_refused")
    if chosen[0].get("alias") or chosen[0]["class"] == "STAR":
        raise StatementError("this is no condition", "Write one that is true or false.", code="sql_refused")
    Walk(text, text, volatile=False, before=before).node(chosen[0], frozenset())
    stands_in_brackets(f"SELECT (\n{text}\n)")


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
            column = len(written(found[2][: column - 1], lines[line - 1])) + 1
    what = message.split(": ", 1)[-1].replace("\n", " ").strip()
    return StatementError(what, "Correct the statement.", code="sql_error", line=line, column=column)
