"""A connection that is cut amid a read: told as what passes, nothing half read is kept, the next read has it all."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import TransientError
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.connectors.cuts import ROWS, SERVERS, Cut
from tests.dataplane.steps.files_source import context, rows

pytestmark = pytest.mark.all

# As long as a read that hangs, and no other.
SECONDS = 300


@pytest.fixture(params=SERVERS)
def cut(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cut]:
    with SERVERS[request.param](tmp_path, request) as found:
        yield found


def stream_of(cut: Cut, connector: Any) -> StreamConfig:
    """The numbers of its rows, and what they are read by."""
    (info,) = (each for each in connector.discover() if cut.stream in ("", each.name))
    wanted = tuple(replace(each, type="BIGINT") for each in info.columns if each.name == cut.key)
    wanted += tuple(each for each in info.columns if each.name == cut.cursor != cut.key)
    settings = {**info.settings, **({"settle_seconds": 0} if "settle_seconds" in info.settings else {})}
    return StreamConfig(info.name, settings=settings, columns=wanted, cursor=cut.cursor)


# paramiko asks ahead in a thread of its own, which says aloud that there is nobody to ask any more.
@pytest.mark.filterwarnings("ignore:Exception in thread .*_prefetch_thread")
def test_a_read_that_is_cut_is_told_and_read_again(cut: Cut, tmp_path: Path) -> None:
    def connector() -> Any:
        return build(cut.kind, cut.params, networks=["127.0.0.0/8"])

    stream = stream_of(cut, connector())
    for after in cut.after:
        planned = connector().plan(stream, "incremental", Mark()).window
        cut.way.after, cut.way.cuts = after, 0
        here = context(tmp_path, connector=connector(), stream=stream, window=planned)
        began = time.monotonic()
        with pytest.raises(TransientError) as caught:
            ExtractStep.run(here, ExtractSpec(source="cut", stream=stream.name))
        assert time.monotonic() - began < SECONDS and cut.way.cuts, "it came to an end, by the cut"
        said = str(caught.value)
        assert re.search("127.0.0.1|connection|ended after|no broker has answered", said.lower()), said
        assert "SELECT" not in said and "BEGIN" not in said, said
        cut.way.after = None
    again = context(tmp_path, connector=connector(), stream=stream, window=planned)
    result = ExtractStep.run(again, ExtractSpec(source="cut", stream=stream.name))
    assert sorted(n for n, *_ in rows(tmp_path, result)) == list(range(ROWS))
