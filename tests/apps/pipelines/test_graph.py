"""Who waits for whom. No database."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from apps.pipelines.graph import Graph, Node, find_cycle


def test_windows_reach_loads_through_datasets():
    graph = Graph(
        [
            Node("new", "extract", (), incremental=True),
            Node("all", "extract", ()),
            Node("joined", "sql", ("new", "all")),
            Node("kept", "load", ("joined",)),
            Node("sums", "sql", ("kept",)),
            Node("summed", "load", ("sums",)),
            Node("copy", "load", ("all",)),
        ]
    )
    assert graph.loads_fed_by("new") == ["kept", "summed"]
    assert graph.incremental_above("summed") == ["new"]
    assert graph.incremental_direct("summed") == []
    assert graph.incremental_direct("kept") == ["new"]
    assert graph.direct("kept") == {"joined", "new", "all"}
    assert graph.incremental_above("copy") == []


@st.composite
def _graphs(draw: st.DrawFn) -> list[Node]:
    """Steps in any order of writing, each waiting for some that come earlier in a hidden order."""
    keys = [f"s{each}" for each in range(draw(st.integers(1, 12)))]
    nodes = [
        Node(key, "sql", tuple(draw(st.lists(st.sampled_from(keys[:position]), unique=True))) if position else ())
        for position, key in enumerate(keys)
    ]
    return draw(st.permutations(nodes))


@given(_graphs())
def test_the_order_puts_every_step_after_its_inputs(nodes: list[Node]):
    graph = Graph(nodes)
    assert sorted(graph.order) == sorted(graph.nodes)
    place = {key: position for position, key in enumerate(graph.order)}
    assert all(place[other] < place[each.key] for each in nodes for other in each.upstream)
    assert find_cycle(nodes) == []


@given(_graphs(), st.data())
def test_a_cycle_is_found_and_is_one(nodes: list[Node], data: st.DataObject):
    """An edge from a step back to one that waits for it closes a circle, and the answer is a real one."""
    graph = Graph(nodes)
    late = data.draw(st.sampled_from(nodes))
    early = data.draw(st.sampled_from(sorted(graph.ancestors(late.key) | {late.key})))
    broken = [Node(each.key, each.kind, (*each.upstream, late.key)) if each.key == early else each for each in nodes]
    cycle = find_cycle(broken)
    upstream = {each.key: each.upstream for each in broken}
    assert cycle[0] == cycle[-1]
    assert len(set(cycle)) == len(cycle) - 1
    assert all(before in upstream[after] for before, after in itertools.pairwise(cycle))


def test_what_a_step_is_only_after_is_waited_for_and_feeds_it_nothing():
    graph = Graph(
        [
            Node("orders", "extract", (), incremental=True, after=("clients",)),
            Node("ordered", "load", ("orders",)),
            Node("people", "extract", (), incremental=True),
            Node("clients", "load", ("people",)),
        ]
    )
    assert graph.order == ["people", "clients", "orders", "ordered"]
    assert (graph.loads_fed_by("people"), graph.incremental_above("ordered")) == (["clients"], ["orders"])
    assert graph.ancestors("ordered") == {"orders"}
    assert find_cycle([Node("a", "sql", ("b",)), Node("b", "sql", (), after=("a",))]) == ["a", "b", "a"]
