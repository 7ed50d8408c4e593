"""Times that are written finer than their columns keep them: what is finer is cut off, and the run says so."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from dataplane.connectors.files.careful import CarefulGroup
from dataplane.connectors.files.encodings import open_bytes
from dataplane.connectors.files.formats import OfTexts
from dataplane.connectors.files.groups import GroupFile
from dataplane.connectors.schema import Column
from dataplane.relations import identifier

_DECIMALS = {
    "TIME": 6,
    "TIMESTAMP": 6,
    "DATETIME": 6,
    "TIMESTAMP WITH TIME ZONE": 6,
    "TIMESTAMPTZ": 6,
    "TIMESTAMP_NS": 9,
}
# Who writes such times writes them from the first row on.
_BEGINNING = 1 << 16
_ROWS = 2_048
# What stands in these is no text before a reader unpacked it.
_PACKED = ("excel", "avro")


def cut_off(connection: duckdb.DuckDBPyConnection, group: CarefulGroup | OfTexts) -> Sequence[Column]:
    """The columns that hold finer times than they keep, by the first rows of the files."""
    there = {name for name, _ in group.files[0].layout}
    kept = {each: _DECIMALS[each.type.upper()] for each in group.columns if each.type.upper() in _DECIMALS}
    kept = {each: decimals for each, decimals in kept.items() if each.name in there}
    if not kept or not any(_finer(each, min(kept.values())) for each in group.files):
        return ()
    items = ", ".join(
        # One that is no time at all is set aside, and cut off nowhere.
        f"coalesce(bool_or(regexp_matches({identifier(each.name)}, '{_pattern(decimals)}') "
        f"AND TRY_CAST({identifier(each.name)} AS {each.type}) IS NOT NULL), false)"
        for each, decimals in kept.items()
    )
    try:
        found = connection.execute(
            f"SELECT {items} FROM ({group.texts([each.name for each in kept], _ROWS)})"
        ).fetchall()
    except duckdb.Error:
        return ()  # What is wrong is told by those who read.
    return [each for each, so in zip(kept, found[0], strict=True) if so]


def keeping(columns: Sequence[Column]) -> str:
    """What to declare columns as that cut off times, so that they keep them."""
    finer = [each.name for each in columns if each.type.upper() in ("TIMESTAMP", "DATETIME")]
    if not finer:
        return "Declare them as VARCHAR to keep them."
    if len(finer) == len(columns):
        return "Declare them as TIMESTAMP_NS, or as VARCHAR, to keep them."
    return f"Declare them as VARCHAR to keep them; TIMESTAMP_NS keeps nine decimals of {', '.join(finer)}."


def _pattern(decimals: int) -> str:
    return f":[0-9]{{2}}[.][0-9]{{{decimals}}}[0-9]*[1-9]"


def _finer(each: GroupFile, decimals: int) -> bool:
    """Whether the beginning of a file may hold such times: where it is no text, its rows tell."""
    if each.format in _PACKED:
        return True
    try:
        with open_bytes(each.absolute) as file:
            return re.search(_pattern(decimals).encode(), file.read(_BEGINNING)) is not None
    except (OSError, pa.ArrowInvalid):
        return False
