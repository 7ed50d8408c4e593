"""A document of GraphQL in its definitions: which queries it names, and what each has to be sent with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_PART = re.compile(
    r'"""(?:\\"""|(?!""").)*"""|"(?:\\.|[^"\\\n])*"|#[^\n]*|\.\.\.|[$@]?[A-Za-z_][A-Za-z0-9_]*|[^\s,]', re.DOTALL
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_HINT = "Write each query with a name, which is its stream's: query orders($cursor: String) { … }"


@dataclass(frozen=True)
class Operation:
    """A query by its name. text: it, with the fragments that it uses. variables: their types by name, as `Int`."""

    name: str
    text: str
    variables: Mapping[str, str]


@dataclass
class _Definition:
    kind: str
    begin: int
    name: str = ""
    text: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    spreads: list[str] = field(default_factory=list)


def operations(document: str) -> dict[str, Operation]:
    """The queries of a document. Raises ValueError for what is none: nothing but queries and fragments is sent."""
    queries: dict[str, _Definition] = {}
    fragments: dict[str, _Definition] = {}
    for each in _definitions(document):
        place = queries if each.kind == "query" else fragments
        if each.name in place:
            raise ValueError(f"{each.name} is there twice. Give one another name.")
        place[each.name] = each
    if not queries:
        raise ValueError(f"There is no query. {_HINT}")
    return {
        name: Operation(name, "\n".join([each.text, *_used(each, fragments)]), each.variables)
        for name, each in queries.items()
    }


def _used(query: _Definition, fragments: Mapping[str, _Definition]) -> list[str]:
    """The fragments that a query needs, in their order: servers refuse those that nothing uses."""
    needed: set[str] = set()
    waiting = list(query.spreads)
    while waiting:
        name = waiting.pop()
        if name not in fragments:
            raise ValueError(f"{query.name} uses the fragment {name}, which is not there. Write it below the queries.")
        if name not in needed:
            needed.add(name)
            waiting += fragments[name].spreads
    return [each.text for name, each in fragments.items() if name in needed]


def _definitions(document: str) -> Iterator[_Definition]:
    found: _Definition | None = None
    opened: list[str] = []
    before = ""
    for match in _PART.finditer(document.lstrip("\ufeff")):
        part = match[0]
        if part == '"':
            raise ValueError("A text in the queries has no end. Close its quotes.")
        if part.startswith(("#", '"')):
            continue
        if found is None:
            found = _begun(part, match.start())
        elif not found.name:
            if not _NAME.fullmatch(part):
                raise ValueError(f"A {found.kind} has no name. {_HINT}")
            found.name = part
        elif part in _CLOSES:
            opened.append(part)
        elif part in _CLOSES.values():
            if not opened or _CLOSES[opened.pop()] != part:
                raise ValueError(f"The brackets of {found.name} do not match: {part} closes none. Correct the query.")
            if not opened and part == "}":
                found.text = match.string[found.begin : match.end()]
                yield found
                found = None
        else:
            _noted(found, part, before, opened)
        before = part
    if found is not None:
        raise ValueError(f"The {found.kind} {found.name or 'at the end'} has no end. Close its brackets.")


def _begun(part: str, at: int) -> _Definition:
    if part not in ("query", "fragment"):
        raise ValueError(f"{part[:50]!r} begins neither a query nor a fragment. {_HINT}")
    return _Definition(part, at)


def _noted(found: _Definition, part: str, before: str, opened: list[str]) -> None:
    """Note a fragment that is used, a variable that is declared, and its type."""
    if before == "..." and part != "on" and _NAME.fullmatch(part):
        found.spreads.append(part)
    elif opened[:1] == ["("] and part.startswith("$"):
        found.variables.setdefault(part[1:], "")
    elif opened[:1] == ["("] and before in (":", "[") and found.variables:
        last = next(reversed(found.variables))
        found.variables[last] = found.variables[last] or part
