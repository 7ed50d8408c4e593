"""Streams that a folder seems to hold: files that differ only by dates and numbers belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dataplane.connectors.files.found import Found
from dataplane.connectors.files.patterns import FilePattern, generalised
from dataplane.connectors.files.settings import COMPRESSED, Format, format_of

# A stream's name has at most 200 letters, among them those of a sheet and the number that makes it unique.
_LONGEST = 150
_LONGEST_MORE = 40


@dataclass(frozen=True)
class Suggestion:
    """A stream to propose: its name, its pattern, its format, and the files that fit, oldest first."""

    name: str
    pattern: str
    format: Format
    files: tuple[Found, ...]


def suggestions(files: Sequence[Found]) -> list[Suggestion]:
    """One suggestion for each group of files of a known format, by name."""
    groups: dict[str, list[Found]] = {}
    for each in files:
        if format_of(each.path) is not None:
            groups.setdefault(generalised(each.path), []).append(each)
    found = []
    names: set[str] = set()
    for pattern, members in sorted(groups.items()):
        format_ = format_of(members[0].path)
        assert format_ is not None
        matcher = FilePattern(pattern)
        dated = [(match.date or "", each) for each in members if (match := matcher.match(each.path))]
        if not dated:
            continue
        ordered = tuple(each for _, each in sorted(dated, key=lambda pair: (pair[0], pair[1].path)))
        found.append(Suggestion(_unique(_name(pattern), names), pattern, format_, ordered))
    return sorted(found, key=lambda each: each.name)


def named_with(name: str, more: str) -> str:
    """A stream's name with the words of what it is a piece of."""
    return "_".join([name, *re.findall(r"[^\W_]+", more.lower()[:_LONGEST_MORE])])


def _name(pattern: str) -> str:
    """A stream's name from a pattern: the words that all its files share."""
    lowered = pattern.lower().replace(".zip/", "/")
    for suffix in COMPRESSED:
        lowered = lowered.removesuffix(suffix)
    stem = lowered.rpartition(".")[0] if "." in lowered.rpartition("/")[2] else lowered
    words = re.findall(r"[^\W_]+", re.sub(r"\{\w*\}|[*?]", " ", stem))
    return "_".join(words)[:_LONGEST].rstrip("_") or "files"


def _unique(name: str, taken: set[str]) -> str:
    chosen, more = name, 2
    while chosen in taken:
        chosen, more = f"{name}_{more}", more + 1
    taken.add(chosen)
    return chosen
