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


def test_what_hangs_is_asked_once() -> None:
    """However often somebody asks, there is one thread; and another as soon as it has come back."""
    over, arrived, begun = threading.Event(), threading.Event(), []

    def hangs() -> int:
        begun.append(threading.current_thread())
        arrived.set()
        over.wait()
        return 7

    try:
        for _ in range(3):
            with pytest.raises(TransientError) as left:
                within(0.05, hangs, name="folder")
            assert left.value.code == "answer_timeout"
        assert within(60, lambda: 8, name="another") == 8
        assert arrived.wait(60)
    finally:
        over.set()
    assert len(begun) == 1
    begun[0].join(60)
    assert within(60, hangs, name="folder") == 7


def test_what_hangs_for_long_keeps_nobody_from_asking_anew() -> None:
    over = threading.Event()
    try:
        for _ in range(2):
            with pytest.raises(TransientError) as left:
                within(0.05, over.wait, name="server", again_after=0)
            assert "No answer within" in left.value.message
        with pytest.raises(TransientError) as left:
            within(60, lambda: 7, name="server", again_after=600)
        assert "before this one" in left.value.message
        assert within(60, lambda: 7, name="server", again_after=0) == 7
    finally:
        over.set()
