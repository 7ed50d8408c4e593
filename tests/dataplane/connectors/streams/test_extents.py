"""Plans and reads of messages against a model of a broker that is written to and trimmed in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.connectors.streams.extents import Extent, Written, planned
from dataplane.connectors.streams.messages import Batch
from dataplane.connectors.streams.taking import Taking
from dataplane.connectors.windows import Limits, Span

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("trim"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("read"), st.integers(1, 6), st.sampled_from(["", *"012"])),
    ),
    max_size=30,
)


@dataclass
class Model:
    """Three partitions; with `sparse` offsets, which count nothing by themselves."""

    sparse: bool
    kept: dict[str, list[int]] = field(default_factory=lambda: {each: [] for each in "012"})
    given: dict[str, int] = field(default_factory=lambda: dict.fromkeys("012", 0))

    def offset(self, number: int) -> int:
        return 10 * number if self.sparse else number

    def write(self, partition: str, many: int) -> None:
        for _ in range(many):
            self.kept[partition].append(self.offset(self.given[partition]))
            self.given[partition] += 1

    def extents(self) -> list[Extent]:
        return [self._extent(each) for each in "012"]

    def _extent(self, partition: str) -> Extent:
        kept, given_ = self.kept[partition], self.given[partition]
        newest = self.offset(given_ - 1) if given_ else -1
        before = kept[0] - 1 if kept else newest
        return Extent(partition, before, newest, given_ if self.sparse else None, len(kept) if self.sparse else None)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, sparse=st.booleans())
def test_each_message_is_read_once_or_counted_as_gone(steps: list[Any], *, sparse: bool):
    model, written = Model(sparse), Written()
    marks: dict[str, Span] = {}
    read: list[tuple[str, int]] = []
    trimmed_before_first, gone = 0, 0

    def go_on(most: int, unnamed: str = "") -> None:
        """Only the newest window is remembered; the broker does not name one of its partitions for a while."""
        nonlocal gone
        extents = [each for each in model.extents() if each.partition != unnamed]
        plan = planned("s", extents, marks.values(), written, Limits(most, 10**9, 10**9), go_on=True)
        if plan.window is None:
            return
        taking = Taking(plan.window, written)
        for partition, (lower, upper) in taking.spans.items():
            for offset in [each for each in model.kept[partition] if lower < each <= upper]:
                if taking.full(0):
                    break
                taking.took(Batch({}, [b""], {partition: offset}, {partition: 1}))
                read.append((partition, offset))
        taking.whole_read = not taking.full(0)
        settled = taking.settled()
        assert (settled.messages, settled.limits) == (taking.messages, None)
        gone += settled.gone
        marks.clear()
        marks.update((each.partition, each) for each in settled.spans)

    for kind, first, second in steps:
        if kind == "write":
            model.write(str(first), second)
        elif kind == "trim":
            if str(first) not in marks:
                trimmed_before_first += len(model.kept[str(first)][:second])
            model.kept[str(first)] = model.kept[str(first)][second:]
        else:
            go_on(first, second)
    for _ in range(200):
        before = len(read)
        go_on(1000)
        if len(read) == before:
            break
    assert len(read) == len(set(read))
    ahead = sum(
        extent.missing(int(marks[extent.partition].upper), marks[extent.partition].count_upper)
        for extent in model.extents()
        if extent.partition in marks
    )
    if marks:
        assert len(read) + gone + ahead + trimmed_before_first == sum(model.given.values())
