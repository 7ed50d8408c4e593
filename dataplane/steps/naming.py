"""Columns that arrive under another name than they have in the source, because somebody said that they were renamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from dataplane.connectors.reading import Part, Reading
from dataplane.connectors.schema import Column
from dataplane.relations import identifier

Names = Mapping[str, str]


def arriving(columns: Sequence[Column], names: Names) -> tuple[Column, ...]:
    """The columns under the names by which they arrive: all that one was ever called are one column."""
    return tuple(replace(sources[-1], name=name) for name, sources in under(columns, names).items())


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

    Files may have any name that a column ever had: then the value is taken from whichever has one, the newest first.
    """
    there = {each.name for each in reading.columns}
    if there.isdisjoint(names):
        return reading
    wrapped = _wrapping(reading.columns, names)

    def part(each: Part) -> Part:
        return replace(each, query=wrapped(each.query), careful=part(each.careful) if each.careful else None)

    def parts() -> Iterator[Part]:
        for each in reading.parts:
            yield part(each)
        # Only now is it known which messages were read.
        copy.settled = reading.settled

    def check(rows: str) -> None:
        items = ", ".join(f"{identifier(names.get(each, each))} AS {identifier(each)}" for each in there)
        if reading.check is not None:
            reading.check(f"SELECT {items} FROM ({rows})")

    copy = replace(
        reading,
        query=wrapped(reading.query),
        columns=arriving(reading.columns, names),
        parts=parts(),
        check=check if reading.check else None,
    )
    return copy


def _wrapping(columns: Iterable[Column], names: Names) -> Callable[[str], str]:
    """What makes of a query of these columns one of the same rows under the names by which they arrive."""
    arrive = under(columns, names)
    several = {sources[0].name: sources for sources in arrive.values() if len(sources) > 1}
    others = [each.name for sources in several.values() for each in sources[1:]]
    values = [f"{_newest(sources)} AS {identifier(name)}" for name, sources in several.items()]
    plain = {sources[0].name: name for name, sources in arrive.items() if sources[0].name != name}
    together = f"* EXCLUDE ({', '.join(map(identifier, others))}) REPLACE ({', '.join(values)})"
    renaming = ", ".join(f"{identifier(source)} AS {identifier(name)}" for source, name in plain.items())

    def wrapped(query: str) -> str:
        if not query:
            return ""
        query = f"SELECT {together} FROM ({query})" if several else query
        return f"SELECT * RENAME ({renaming}) FROM ({query})" if plain else query

    return wrapped


def _newest(sources: Sequence[Column]) -> str:
    """The value of the newest of these columns that has one."""
    *older, newest = sources
    casts = [f"CAST({identifier(each.name)} AS {newest.type})" for each in reversed(older)]
    return f"coalesce({', '.join([identifier(newest.name), *casts])})"
