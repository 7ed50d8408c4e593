"""Nobody is waited for longer than was said."""

from __future__ import annotations

import threading

import pytest

from dataplane.errors import DataError, TransientError
from dataplane.patience import within


def test_it_works() -> None:
    assert within(60, lambda: 7) == 7


def test_what_goes_wrong_is_raised() -> None:
    def fails() -> int:
        raise DataError("no", code="x")

    with pytest.raises(DataError):
        within(60, fails)


def test_what_hangs_is_left() -> None:
    over = threading.Event()
    try:
        with pytest.raises(TransientError) as left:
            within(0.05, over.wait)
        assert left.value.code == "answer_timeout"
    finally:
        over.set()
