"""The allow-list that a statement's tree is walked with: a kind of node that it does not know is refused.

Tables are the names that were given and the statement's own WITH names, each only where it is in scope; functions are
those of `dataplane.functions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from dataplane import functions
from dataplane.snapshot_names import written
from dataplane.syntax import NO_VALUE, StatementError, place

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
_TABLES_TOLD = 20
_SHOWN = {
    "PARAMETER": NO_VALUE,
    "DEFAULT": "DEFAULT has no meaning here",
    "SHOW_REF": "DESCRIBE, SHOW and SUMMARIZE are no queries",
}


@dataclass
class Walk:
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
        line, column = place(self.before + written(begin, self.written), self.before)
        return StatementError(what, remedy, code="sql_refused", line=line, column=column)
