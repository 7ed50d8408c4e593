"""How rows travel into MySQL and MariaDB: as INSERT statements that DuckDB writes, each value a constant of SQL.

A column of the table takes what arrives only where it keeps every value, or where the value is refused: by the server
in its strict mode, or, for what it would round or cut without a word, by a guard in DuckDB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dataplane.connectors.databases.guards import MARK
from dataplane.relations import identifier, literal
from dataplane.steps.base import ColumnType
from dataplane.types import is_integer, stored

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_NEW = {
    "BOOLEAN": "tinyint(1)",
    "TINYINT": "tinyint",
    "UTINYINT": "tinyint unsigned",
    "SMALLINT": "smallint",
    "USMALLINT": "smallint unsigned",
    "INTEGER": "int",
    "UINTEGER": "int unsigned",
    "BIGINT": "bigint",
    "UBIGINT": "bigint unsigned",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BLOB": "longblob",
    "DATE": "date",
    "TIMESTAMP": "datetime(6)",
    "TIMESTAMP WITH TIME ZONE": "timestamp(6)",
    "TIME": "time(6)",
    "UUID": "char(36) CHARACTER SET ascii COLLATE ascii_bin",
}
_WHOLE = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BYTES = frozenset({"varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
# Bytes beyond these are refused, but not blanks, which are cut.
_ROOM = {"tinytext": (1 << 8) - 1, "text": (1 << 16) - 1, "mediumtext": (1 << 24) - 1}
_LENGTH = re.compile(r"\((\d+)\)")
_MEMBER = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_MEANT = {"0": "\0", "n": "\n", "r": "\r"}
_SMALL = frozenset({"TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "INTEGER", "UINTEGER"})
# Texts that the server reads, and refuses where it cannot.
_READ_FROM_TEXT = frozenset({"enum", "json", "uuid", "inet4", "inet6"})
_MOMENTS = {
    "DATE": frozenset({"date", "datetime"}),
    "TIMESTAMP": frozenset({"datetime"}),
    "TIMESTAMP WITH TIME ZONE": frozenset({"timestamp"}),
    "TIME": frozenset({"time"}),
}
KEY_BYTES = 3072
"""What InnoDB takes into an index."""


@dataclass(frozen=True)
class There:
    """A column of the table as it is. fraction: digits of a decimal or a moment after the point."""

    name: str
    base: str
    native: str
    charset: str = ""
    collation: str = ""
    fraction: int = 0
    needed: bool = False
    generated: bool = False
    nullable: bool = True

    @property
    def definition(self) -> str:
        """The same column in a table of rows on their way."""
        coded = f" CHARACTER SET {self.charset} COLLATE {self.collation}" if self.charset else ""
        return f"{self.native}{coded} NULL"

    @property
    def room(self) -> int:
        """The bytes that it takes in an index, at most; texts and bytes without a length take too many."""
        if self.base not in _TEXTS | _BYTES:
            return 16
        length = _LENGTH.search(self.native)
        return 4 * int(length[1]) if length else KEY_BYTES + 1


def new_type(column: ColumnType, *, key: int = 0, exact: str = "utf8mb4_bin") -> str:
    """The type of a new column for these values. key: among how many columns of a primary key it is (0: none).

    exact: the collation under which texts are the same only if their bytes are.
    """
    known = stored(column.type)
    decimal = _DECIMAL.fullmatch(known)
    if decimal:
        return f"decimal({decimal[1]},{decimal[2]})"
    if known in _NEW:
        bounded = known == "BLOB" and key
        return f"varbinary({KEY_BYTES // key})" if bounded else _NEW[known]
    if known == "JSON" or _nested(known):
        return "json"
    coded = f"CHARACTER SET utf8mb4 COLLATE {exact}"
    return f"varchar({KEY_BYTES // 4 // key}) {coded}" if key else f"longtext {coded}"


def fits(column: ColumnType, there: There) -> bool:
    """Whether every value arrives unchanged, or is refused."""
    known = stored(column.type)
    decimal = _DECIMAL.fullmatch(known)
    if there.base in _TEXTS:
        return known != "BLOB"
    if known == "BOOLEAN" or is_integer(known):
        return there.base in (*_WHOLE, "decimal") or (there.base == "double" and known in {*_SMALL, "BOOLEAN"})
    if decimal:
        return (there.base == "decimal" and there.fraction >= int(decimal[2])) or (
            there.base in _WHOLE and decimal[2] == "0"
        )
    if known in ("FLOAT", "DOUBLE"):
        # One with digits of its own, such as float(7,2), rounds.
        return there.native in ("double", "float") and (there.base == "double" or known == "FLOAT")
    if known in _MOMENTS:
        return there.base in _MOMENTS[known]
    if known == "BLOB":
        return there.base in _BYTES
    if known == "UUID":
        return there.base == "uuid"
    return there.base in _READ_FROM_TEXT


def constant(column: ColumnType, there: There) -> str:
    """DuckDB's expression for the value as a constant of the server's SQL."""
    itself, known = identifier(column.name), stored(column.type)
    absent = "'NULL'"
    if there.base == "timestamp" and not there.nullable:
        # The server would take the time of day for a NULL.
        absent = f"CAST(error({literal(f'{MARK}NULL in {column.name}')}) AS VARCHAR)"
    return f"CASE WHEN {itself} IS NULL THEN {absent} ELSE {_of(column, known, there)} END"


def _of(column: ColumnType, known: str, there: There) -> str:
    itself = identifier(column.name)
    text = f"CAST({itself} AS VARCHAR)"
    if known == "BOOLEAN":
        return f"CAST(CAST({itself} AS TINYINT) AS VARCHAR)" if there.base not in _TEXTS else _quoted(text)
    if known in ("FLOAT", "DOUBLE"):
        # Written with an exponent it is a floating-point number to the server, too, and never a decimal.
        double = f"CAST({itself} AS DOUBLE)"
        number = text if there.base in _TEXTS else f"CAST({double} AS VARCHAR)"
        told = f"CASE WHEN contains({number}, 'e') THEN {number} ELSE concat({number}, 'e0') END"
        kept = _quoted(number) if there.base in _TEXTS else told
        return _guarded(column, f"isfinite({double})", kept)
    if known == "BLOB":
        return f"concat('X''', hex({itself}), '''')"
    if known in _MOMENTS:
        return _moment(column, known, there)
    if _nested(known):
        return _quoted(f"CAST(to_json({itself}) AS VARCHAR)")
    if is_integer(known) or _DECIMAL.fullmatch(known):
        return _quoted(text) if there.base in _TEXTS else text
    condition = _unchanged(text, there)
    return _guarded(column, condition, _quoted(text)) if condition else _quoted(text)


def _unchanged(text: str, there: There) -> str:
    """The condition of a text that the server does not change without a word; empty where it never does.

    It cuts blanks that are too many, and takes for a member of an enum its number, or the same in another case.
    """
    if there.base == "enum":
        members = (_ESCAPED.sub(_meant, each) for each in _MEMBER.findall(there.native))
        return f"{text} IN ({', '.join(literal(each) for each in members)})"
    blank = f"NOT ends_with({text}, ' ')"
    if there.base in _ROOM:
        return f"({blank} OR strlen({text}) <= {_ROOM[there.base]})"
    length = _LENGTH.search(there.native) if there.base == "varchar" else None
    if length:
        return f"({blank} OR length({text}) <= {length[1]})"
    return blank if there.base == "char" else ""


def _meant(found: re.Match[str]) -> str:
    """The letter for which two quotes, or a backslash and a letter, stand in the type of an enum."""
    return "'" if found[1] is None else _MEANT.get(found[1], found[1])


def _moment(column: ColumnType, known: str, there: There) -> str:
    """Years that the server can write, and no finer than the column keeps."""
    itself = identifier(column.name)
    condition = "true"
    if known != "TIME":
        condition = f"isfinite({itself}) AND year({itself}) BETWEEN 1 AND 9999"
    if there.base not in _TEXTS and known != "DATE":
        condition += f" AND microsecond({itself}) % {10 ** (6 - there.fraction)} = 0"
    zoned = known == "TIMESTAMP WITH TIME ZONE" and there.base not in _TEXTS
    # The server's session is in UTC, and so is DuckDB's.
    shown = f"CAST(CAST({itself} AS TIMESTAMP) AS VARCHAR)" if zoned else f"CAST({itself} AS VARCHAR)"
    return _guarded(column, condition, _quoted(shown))


def _guarded(column: ColumnType, condition: str, value: str) -> str:
    shown = f"CAST({identifier(column.name)} AS VARCHAR)"
    alarm = f"error(concat({literal(MARK)}, {shown}, {literal(f' in {column.name}')}))"
    return f"CASE WHEN {condition} THEN {value} ELSE CAST({alarm} AS VARCHAR) END"


def _quoted(text: str) -> str:
    """A text as a constant; the session's mode is ours, and knows the backslash."""
    return f"concat('''', replace(replace({text}, '\\', '\\\\'), '''', ''''''), '''')"


def _nested(known: str) -> bool:
    return known.endswith("[]") or known.startswith(("STRUCT(", "MAP("))
