"""How the console writes moments: on the server as its script does afterwards, so that nothing moves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from manifold.console.templatetags.console import ago, ahead, amount, cell, since


def _text(html: Any) -> str:
    return re.sub(r"<[^>]+>", "", html)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "just now"), (61, "1 min ago"), (3 * 3600 + 5, "3 h ago"), (90_000, "1 d ago")],
)
def test_how_long_ago(seconds: int, said: str) -> None:
    moment = timezone.now() - timedelta(seconds=seconds)
    shown = ago(moment)
    assert _text(shown) == said
    assert f"{moment:%H:%M:%S} UTC" in shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "due now"), (600, "in 10 min"), (2 * 3600 + 90, "in 2 h 1 min"), (200_000, "in 2 d")],
)
def test_how_far_ahead(seconds: int, said: str) -> None:
    assert _text(ahead(timezone.now() + timedelta(seconds=seconds))) == said


def test_a_running_clock_has_begun_when_the_page_comes() -> None:
    assert re.fullmatch(r"4 min \d+ s", _text(since(timezone.now() - timedelta(minutes=4, seconds=10))))
    assert re.fullmatch(r"\d+ s", _text(since(timezone.now())))


def test_a_time_that_no_server_has_told_is_none() -> None:
    assert ago("1970-01-01T00:00:00Z") == "–"


def test_a_boolean_is_written_as_sql_writes_it() -> None:
    assert (cell(value=True), cell(value=False), cell(1)) == ("true", "false", "1")


def test_a_number_is_its_nearest_whole_one_and_one_that_nobody_knows_a_dash() -> None:
    """As the command writes it and the API rounds it; large whole numbers keep each digit."""
    told = [amount(each) for each in (1234.6, 1234.4, 2**60 + 1, "1234567", 0, None, "")]
    assert told == ["1,235", "1,234", "1,152,921,504,606,846,977", "1,234,567", "0", "–", "–"]
