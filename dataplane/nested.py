"""What differs inside two nested types of DuckDB's: a field of an object, or of the objects in a list."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
from duckdb.sqltypes import DuckDBPyType

Difference = tuple[str, str, str]
"""Where it is, behind the name of the column, such as `.zip` or `[].sku`; the type before and after: empty for none."""


def differences(before: str, after: str) -> list[Difference]:
    """New parts first, then those that have gone or are of another type.

    Nothing where the types are not nested alike, or are none of DuckDB's: then they differ as a whole.
    """
    # DuckDB understands much of how other systems write a list (`text[]`) or map, and would call it by its own names.
    if not all("STRUCT(" in each or "MAP(" in each for each in (before, after)):
        return []
    try:
        found = list(_between("", duckdb.sqltype(before), duckdb.sqltype(after)))
    except duckdb.Error:
        return []
    return found if all(path for path, _, _ in found) else []


def _between(path: str, before: DuckDBPyType, after: DuckDBPyType) -> Iterator[Difference]:
    if before == after:
        return
    was, now = _parts(before), _parts(after)
    if before.id == after.id == "struct":
        yield from ((f"{path}.{name}", "", str(now[name])) for name in now if name not in was)
        for name, type_ in was.items():
            if name in now:
                yield from _between(f"{path}.{name}", type_, now[name])
            else:
                yield f"{path}.{name}", str(type_), ""
    elif before.id == after.id == "list":
        yield from _between(f"{path}[]", was["child"], now["child"])
    elif before.id == after.id == "map" and was["key"] == now["key"]:
        yield from _between(f"{path}{{}}", was["value"], now["value"])
    else:
        yield path, str(before), str(after)


def _parts(type_: DuckDBPyType) -> dict[str, DuckDBPyType]:
    if type_.id not in ("struct", "list", "map"):
        return {}
    return {name: part for name, part in type_.children if isinstance(part, DuckDBPyType)}
