"""`manifold demo --exit`: the whole story on an installation of its own; its status tells whether it was good."""

from __future__ import annotations

import time

import pytest

from manifold.supervisor.home import Home
from tests.browser.installation import Installation

pytestmark = pytest.mark.all


def test_it_tells_the_whole_story_also_where_the_first_start_was_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    demo = Installation(tmp_path_factory.mktemp("demo"))
    try:
        demo.start("demo", "--exit")
        assert demo.process is not None
        until = time.monotonic() + 300
        while not demo.client().page("runs/", 1)["results"]:
            assert time.monotonic() < until, demo.said.read_text()
            time.sleep(0.05)
        demo.process.kill()
        demo.process.wait(60)
        assert "succeeded" not in demo.said.read_text()
        demo.start("demo", "--exit")
        assert demo.process.wait(300) == 0, demo.said.read_text()
        assert not Home(demo.home).is_held()
    finally:
        demo.stop()
    said = demo.said.read_text()
    assert "Traceback" not in said
    story, kept = said.split("December arrives in the drop folder.")
    assert "Once more: nothing has changed." in story
    # Every flight of the year, but those to four airports in the Caribbean.
    assert "329,174" in kept
