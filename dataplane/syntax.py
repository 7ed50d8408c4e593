"""DuckDB's own parser on what an operator wrote: the tree of a text, or what is wrong with it and where.

The tree is the one of `json_serialize_sql`, so nothing can mean one thing here and another where it runs.
"""

from __future__ import annotations

import functools
import json
import os
from typing import Any

import duckdb

from dataplane.errors import ConfigurationError
from dataplane.relations import literal

MAX_LENGTH = 200_000
NO_VALUE = "A parameter ($1 or ?) has no value here"
_NO_TEXT = "it holds a character that no text may hold"


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


def one_statement(text: str, before: str = "", *, parameters: bool = False) -> dict[str, Any]:
    """The tree of the only statement in a text."""
    if not text.strip():
        raise StatementError("the statement is empty", "Write one SELECT.", code="sql_syntax")
    if len(text) > MAX_LENGTH:
        raise StatementError(
            f"the statement is longer than {MAX_LENGTH:,} characters", "Write a shorter one.", code="sql_refused"
        )
    parsed = parse(before + text)
    if parsed.get("error"):
        raise syntax_error(parsed, before + text, before)
    statements = parsed["statements"]
    if len(statements) != 1:
        number = len(statements) or "no"
        raise StatementError(f"this is {number} statements", "Write exactly one SELECT.", code="sql_refused")
    if statements[0].get("named_param_map") and not parameters:
        raise StatementError(NO_VALUE, "Write the value itself.", code="sql_refused")
    return dict(statements[0])


def syntax_error(parsed: dict[str, Any], text: str, before: str) -> StatementError:
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
    line, column = place(text[: int(parsed["position"])], before)
    return StatementError(message, remedy, code="sql_syntax", line=line, column=column)


def place(text_before: str, added: str) -> tuple[int, int]:
    """Line and column after a piece of text, both from 1, in the operator's own text."""
    line = text_before.count("\n") + 1
    column = len(text_before) - (text_before.rfind("\n") + 1) + 1
    return line, max(1, column - len(added)) if line == 1 else column


def stands_in_brackets(text: str) -> None:
    parsed = parse(text)
    if parsed.get("error") or len(parsed["statements"]) != 1:
        raise StatementError(
            "this does not stand alone", "Take out semicolons and whatever follows the statement.", code="sql_refused"
        )


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


# A step's text is parsed when its spec is read and again before it runs, and once more with the next run.
@functools.lru_cache(maxsize=64)
def parse(text: str) -> dict[str, Any]:
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
