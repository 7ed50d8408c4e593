"""Columns that arrive under another name than they have in the source, because somebody said that they were renamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from dataplane.connectors.base import Column, Part, Reading
from dataplane.relations import identifier

Names = Mapping[str, str]


def arriving(columns: Sequence[Column], names: Names) -> tuple[Column, ...]:
    """The columns under the names by which they arrive. Where the old name is there, too, both are one column."""
    there = {each.name for each in columns}
    wanted = {source: name for source, name in names.items() if source in there}
    taken = {source for source, name in wanted.items() if name in there and name not in wanted}
    return tuple(replace(each, name=wanted.get(each.name, each.name)) for each in columns if each.name not in taken)


def sources_of(chosen: Iterable[str], names: Names) -> tuple[str, ...]:
    """What the source calls columns that were chosen by the names under which they arrive."""
    found: list[str] = []
    for each in chosen:
        found += [source for source, name in names.items() if name == each] or [each]
    return tuple(found)


def under(columns: Iterable[Column], names: Names) -> dict[str, list[Column]]:
    """By the name under which columns arrive, those that do: the newest last."""
    found: dict[str, list[Column]] = {}
    for each in columns:
        found.setdefault(names.get(each.name, each.name), []).append(each)
    return found


def read_for(chosen: Iterable[str], columns: Iterable[Column], names: Names) -> tuple[str, ...]:
    """What has to be read for columns chosen by the names under which they arrive.

    Of a column that was renamed that is all it was ever called, as a file may have any of these.
    """
    declared = {name: [each.name for each in sources] for name, sources in under(columns, names).items()}
    return tuple(dict.fromkeys(each for name in chosen for each in declared.get(name) or sources_of([name], names)))


def renamed(reading: Reading, names: Names) -> Reading:
    """The same rows with their columns under the names by which they arrive.

    Files may have the old name or the new one: then the value is taken from whichever has one.
    """
    there = {each.name: each for each in reading.columns}
    wanted = {source: name for source, name in names.items() if source in there}
    if not wanted:
        return reading
    both = {source: name for source, name in wanted.items() if name in there and name not in wanted}
    plain = {source: name for source, name in wanted.items() if source not in both}
    replaced = ", ".join(
        f"coalesce({identifier(source)}, CAST({identifier(name)} AS {there[source].type})) AS {identifier(name)}"
        for source, name in both.items()
    )
    clauses = [
        f"EXCLUDE ({', '.join(map(identifier, both))})" if both else "",
        f"REPLACE ({replaced})" if both else "",
        "RENAME (" + ", ".join(f"{identifier(a)} AS {identifier(b)}" for a, b in plain.items()) + ")" if plain else "",
    ]
    items = " ".join(["*", *filter(None, clauses)])

    def wrapped(query: str) -> str:
        return f"SELECT {items} FROM ({query})" if query else ""

    def part(each: Part) -> Part:
        return replace(each, query=wrapped(each.query), careful=part(each.careful) if each.careful else None)

    def parts() -> Iterator[Part]:
        for each in reading.parts:
            yield part(each)
        # Only now is it known which messages were read.
        copy.settled = reading.settled

    def check(rows: str) -> None:
        under = ", ".join(f"{identifier(wanted.get(each, each))} AS {identifier(each)}" for each in there)
        if reading.check is not None:
            reading.check(f"SELECT {under} FROM ({rows})")

    copy = replace(
        reading,
        query=wrapped(reading.query),
        columns=arriving(reading.columns, names),
        parts=parts(),
        check=check if reading.check else None,
    )
    return copy
