"""The graph of a document: who waits for whom, in which order, and which loads an extract feeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

PLAN = "plan"
"""The first step of every run, which stands in no document: every step without inputs waits for it."""


@dataclass(frozen=True)
class Node:
    """A step as the graph sees it: its rows come from `upstream`, and it waits for what it is `after`, too."""

    key: str
    kind: str
    upstream: tuple[str, ...]
    may_fail: bool = False
    incremental: bool = False
    after: tuple[str, ...] = ()

    @property
    def waits_for(self) -> tuple[str, ...]:
        return (*self.upstream, *(each for each in self.after if each not in self.upstream))


class Graph:
    """Nodes without a cycle. Every answer keeps the order in which the steps were written."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {each.key: each for each in nodes}

    @cached_property
    def order(self) -> list[str]:
        """Every step after all that it waits for; among equals, as written."""
        placed: list[str] = []
        waiting = dict(self.nodes)
        while waiting:
            ready = [key for key, node in waiting.items() if not any(each in waiting for each in node.waits_for)]
            if not ready:
                raise ValueError(f"the steps {sorted(waiting)} form a circle")
            placed += ready
            for key in ready:
                del waiting[key]
        return placed

    @cached_property
    def _ancestors(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for key in self.order:
            upstream = self.nodes[key].upstream
            found[key] = frozenset(upstream).union(*(found[each] for each in upstream))
        return found

    def ancestors(self, key: str) -> frozenset[str]:
        """Every step whose rows reach this one, directly or not."""
        return self._ancestors[key]

    def incremental_above(self, key: str) -> list[str]:
        """The incremental extracts whose rows reach a step, through datasets too."""
        return [each.key for each in self.nodes.values() if each.incremental and each.key in self._ancestors[key]]

    def direct(self, key: str) -> frozenset[str]:
        """The steps above a step whose rows reach it without resting in a dataset on the way."""
        found: set[str] = set()
        waiting = list(self.nodes[key].upstream)
        while waiting:
            each = self.nodes[waiting.pop()]
            if each.key not in found and each.kind != "load":
                found.add(each.key)
                waiting += each.upstream
        return frozenset(found)

    def incremental_direct(self, key: str) -> list[str]:
        """The incremental extracts among `direct`."""
        direct = self.direct(key)
        return [each.key for each in self.nodes.values() if each.incremental and each.key in direct]

    def loads_fed_by(self, key: str) -> list[str]:
        """The load steps that an extract's rows reach: its window is done when the last of them is."""
        return [each.key for each in self.nodes.values() if each.kind == "load" and key in self._ancestors[each.key]]


def find_cycle(nodes: Iterable[Node]) -> list[str]:
    """One cycle of steps that wait for each other, its first named again at the end; empty when there is none."""
    upstream = {each.key: each.waits_for for each in nodes}
    settled: set[str] = set()
    for start in upstream:
        trail: list[str] = []
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            key, position = stack.pop()
            if position == 0:
                if key in settled:
                    continue
                if key in trail:
                    circle = trail[trail.index(key) :]
                    return [key, *reversed(circle[1:]), key]
                trail.append(key)
            if position < len(upstream[key]):
                stack += [(key, position + 1), (upstream[key][position], 0)]
            else:
                settled.add(key)
                trail.pop()
    return []
