"""The records of an XML file: which element is one, and what of it becomes columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from dataplane.connectors.files.elements import LARGEST, Walk
from dataplane.connectors.files.found import Found

# A record by the paths of its values: `@id`, `total`, `customer/name`, `customer/@id`; what is no text becomes JSON.
Record = dict[str, Any]

TEXT = "#text"
_BATCH = 4_000
_LOOKED_AT = 8 << 20
_GUESSED_DEPTH = 8


class Records(Walk):
    """The records at a path. repeated: paths whose values are always lists.

    `there` tells whether the element around them was met, and `count` how many were handed out.
    """

    def __init__(self, found: Found, encoding: str, path: tuple[str, ...], repeated: Collection[str] = ()) -> None:
        super().__init__(found, encoding)
        self.there = False
        self.count = 0
        self._path = list(path)
        self._repeated = frozenset(repeated)
        self._rows: list[Record] = []
        self._open: list[str] = []
        self._above: list[Record] = []
        self._node: Record | None = None
        self._nested = bool(repeated)
        self._texts_here: list[str] = []
        self._outside()

    def batches(self) -> Iterator[list[Record]]:
        """Some thousand records at a time, or a few large ones. Raises DataError."""
        weight = 0
        for size in self.steps():
            weight += size
            if len(self._rows) >= _BATCH or weight >= LARGEST:
                yield self._taken()
                weight = 0
        yield self._taken()

    def _taken(self) -> list[Record]:
        taken, self._rows = self._rows, []
        self.count += len(taken)
        return taken

    def _outside(self) -> None:
        self.begun = None
        self.parser.StartElementHandler = self._start_outside
        self.parser.EndElementHandler = self._end_outside
        self.parser.CharacterDataHandler = None

    def _start_outside(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(self.names[name])
        self.deep(len(self._open))
        if self._open == self._path:
            self.there = True
            self.begun = self.parser.CurrentByteIndex
            self._node = self._attributes(attributes)
            self._nested = bool(self._repeated)
            self.parser.StartElementHandler = self._start
            self.parser.EndElementHandler = self._end
            self.parser.CharacterDataHandler = self._texts_here.append
        elif self._open == self._path[:-1]:
            self.there = True

    def _end_outside(self, name: str) -> None:
        self._open.pop()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        node = {} if self._node is None else self._node
        if self._texts_here:
            self._keep_text(node)
        self._above.append(node)
        self.deep(len(self._open) + len(self._above))
        self._node = self._attributes(attributes) if attributes else None

    def _end(self, name: str) -> None:
        node = self._node
        if not self._above:
            self._finish({} if node is None else node)
            return
        value: str | Record
        if node is None:
            value = "".join(self._texts_here).strip()
            self._texts_here.clear()
        else:
            self._keep_text(node)
            value, self._nested = node, True
        self._node = parent = self._above.pop()
        key = self.names[name]
        if key not in parent:
            parent[key] = value
            return
        self._nested = True
        if isinstance(parent[key], list):
            parent[key].append(value)
        else:
            parent[key] = [parent[key], value]

    def _keep_text(self, node: Record) -> None:
        """The text beside an element's attributes and children."""
        text = "".join(self._texts_here).strip()
        self._texts_here.clear()
        if text:
            node[TEXT] = f"{node[TEXT]} {text}" if TEXT in node else text

    def _finish(self, node: Record) -> None:
        self._keep_text(node)
        self._rows.append(self._flat(node) if self._nested else node)
        self._node = None
        self._open.pop()
        self._outside()

    def _flat(self, node: Record) -> Record:
        """One level of what stands in each other, as paths."""
        row: Record = {}
        for key, value in node.items():
            if key in self._repeated:
                row[key] = value if isinstance(value, list) else [value]
            elif not isinstance(value, dict):
                row[key] = value
            else:
                for inner, each in value.items():
                    path = key if inner == TEXT else f"{key}/{inner}"
                    row[path] = [each] if path in self._repeated and not isinstance(each, list) else each
        return row

    def _attributes(self, attributes: dict[str, str]) -> Record:
        found: Record = {}
        for name, value in attributes.items():
            if name != "xmlns" and not name.startswith("xmlns:"):
                key = f"@{self.names[name]}"
                found[f"@{name}" if key in found else key] = value
        return found


class _Outline(Walk):
    """How often each element stands beside its like, and how many elements it holds."""

    def __init__(self, found: Found, encoding: str) -> None:
        super().__init__(found, encoding)
        self.weights: Counter[tuple[str, ...]] = Counter()
        self.parents: dict[tuple[str, ...], set[str]] = {}
        self.repeating: set[tuple[str, ...]] = set()
        self._open: list[str] = []
        self._beside: list[set[str]] = [set()]
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self.names[name]
        self.parents.setdefault(tuple(self._open[:_GUESSED_DEPTH]), set()).add(local)
        self._open.append(local)
        self.deep(len(self._open))
        path = tuple(self._open[:_GUESSED_DEPTH])
        if local in self._beside[-1] and len(self._open) <= _GUESSED_DEPTH:
            self.repeating.add(path)
        self._beside[-1].add(local)
        self._beside.append(set())
        for end in range(1, len(path) + 1):
            self.weights[path[:end]] += 1

    def _end(self, name: str) -> None:
        self._open.pop()
        self._beside.pop()


def guessed(found: Found, encoding: str) -> tuple[str, ...]:
    """The path of the outermost element that repeats and holds most of the file's beginning. Raises DataError.

    Where none does, the only element below the root, else the root, is the only record.
    """
    outline = _Outline(found, encoding)
    done = 0
    for size in outline.steps():
        done += size
        if done >= _LOOKED_AT:
            break
    total = max(outline.weights.values())
    holding = [path for path in outline.repeating if 2 * outline.weights[path] >= total]
    if holding:
        return min(holding, key=lambda path: (len(path), -outline.weights[path], path))
    (root,) = outline.parents[()]
    below = outline.parents.get((root,), set())
    only = (root, *below)
    return only if len(below) == 1 and only in outline.parents else (root,)
