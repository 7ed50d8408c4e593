"""The names that a policy of retries may use are those that errors have: no code is missing, and none is made up.

No error says that it is tried again: it does not know. Whoever knows the attempt says it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from dataplane.codes import CODES
from dataplane.connectors.mysql import faults as mysql
from dataplane.connectors.mysql import refusals as mysql_loads
from dataplane.connectors.postgresql import faults as postgresql
from dataplane.connectors.postgresql import refusals as postgresql_loads
from dataplane.connectors.warehouses import faults as warehouses

ROOT = Path(__file__).parents[2]
ERRORS = {f"{name}Error" for name in ("Transient", "Data", "Configuration", "Infrastructure", "Lost", "Bug")}
# Errors that no step has: what people send to forms and queries.
DOORS = {"columns_missing", "query_lost", "test_failed", "upload_cut_off"}
ROOMS = ("dataplane", "apps/pipelines", "apps/snapshots", "apps/sources")


@cache
def modules() -> list[ast.Module]:
    """The code that makes errors; to read it takes too long for those who only collect tests."""
    return [
        ast.parse(path.read_text())
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if path.name != "codes.py" and "migrations" not in path.parts
    ]


def texts(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def literal(node: ast.expr) -> Iterator[str]:
    for each in (node.body, node.orelse) if isinstance(node, ast.IfExp) else (node,):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and re.fullmatch("[a-z_]+", each.value):
            yield each.value


def given(call: ast.Call, takers: dict[str, int]) -> Iterator[str]:
    """The codes that a call names: of an error, or of a function that makes one with the `code` it is given."""
    name = ast.unparse(call.func).rpartition(".")[2]
    for keyword in call.keywords if name in ERRORS else ():
        if keyword.arg == "code":
            yield from literal(keyword.value)
    if name in takers and len(call.args) > takers[name]:
        yield from literal(call.args[takers[name]])


def test_every_code_of_an_error_can_be_named() -> None:
    takers: dict[str, int] = {}
    calls: list[ast.Call] = []
    for module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef) and node.name != "__init__":
                names = [each.arg for each in node.args.args if each.arg != "self"]
                takers |= {node.name: names.index("code")} if "code" in names else {}
            elif isinstance(node, ast.Call):
                calls.append(node)
    found = {code for call in calls for code in given(call, takers)}
    tables: list[Any] = [mysql._CONFIGURATION, mysql._STATEMENTS, mysql_loads._CONFIGURATION, mysql_loads._DATA]
    tables += [postgresql._STATEMENTS, postgresql_loads._CONFIGURATION, postgresql_loads._DATA]
    found |= {code for table in tables for code, _ in table.values()}
    found |= {code for rows in (postgresql._REFUSALS, postgresql._PASSING) for _, code, _ in rows}
    found |= {*warehouses._TRANSIENT, *warehouses._CONFIGURATION}
    assert len(found) > 180
    assert found - DOORS - CODES == set()


def test_no_code_is_made_up() -> None:
    assert set().union(*(texts(module) for module in modules())) >= CODES


def test_no_error_promises_another_try() -> None:
    calls = [node for module in modules() for node in ast.walk(module) if isinstance(node, ast.Call)]
    errors = [each for each in calls if ast.unparse(each.func).rpartition(".")[2] in ERRORS]
    tables = [postgresql._REFUSALS, postgresql._PASSING, [*warehouses._TRANSIENT.values()]]
    assert len(errors) > 300
    said = [text for each in errors for text in texts(each)] + [text for table in tables for text in _words(table)]
    assert [text for text in said if "tried again" in text] == []


def _words(table: Any) -> Iterator[str]:
    """Every text of a table, however deep it lies."""
    for each in [table] if isinstance(table, str) else table:
        yield from [each] if isinstance(each, str) else _words(each)
