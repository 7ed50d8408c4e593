"""`manifold demo --exit`: the whole story on an installation of its own; its status tells whether it was good."""

from __future__ import annotations

import pytest

from manifold.supervisor.home import Home
from tests.browser.installation import Installation

pytestmark = pytest.mark.all


def test_it_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    demo = Installation(tmp_path_factory.mktemp("demo"))
    try:
        demo.start("demo", "--exit")
        assert demo.process is not None
        assert demo.process.wait(300) == 0, demo.said.read_text()
        assert not Home(demo.home).is_held()
    finally:
        demo.stop()
    said = demo.said.read_text()
    assert "Traceback" not in said
    assert "flights" in said
