"""How many examples hypothesis tries: some in `make test`, many in `make test-all`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy


def examples(some: int, many: int) -> pytest.MarkDecorator:
    """The parameter `examples` of a test, which hands it to `try_out`."""
    return pytest.mark.parametrize("examples", [some, pytest.param(many, marks=pytest.mark.all)])


def try_out(check: Callable[..., None], count: int, **strategies: SearchStrategy[Any]) -> None:
    """Call `check` with so many examples of what the strategies give for its parameters."""
    settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))(given(**strategies)(check))()
