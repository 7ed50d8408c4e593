"""Secrets never reach a log line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from manifold import logs

SECRET = "canary-7f3a"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the platform's formatter writes for two loggers of this test."""
    spec = dict(logs.logging_config("info", "json")["formatters"]["event"])
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(spec.pop("()")(**spec))
    loggers = [logging.getLogger(name) for name in ("test_logs", "elsewhere")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield stream
    for logger in loggers:
        logger.removeHandler(handler)


def test_it_works(written: io.StringIO) -> None:
    structlog.get_logger("test_logs").info("source tested", source="flights", rows=3)
    line = json.loads(written.getvalue())
    assert (line["event"], line["source"], line["rows"], line["level"]) == ("source tested", "flights", 3, "info")
    assert line["at"].endswith("Z")


@pytest.mark.parametrize("name", ["password", "db_password", "api_key", "Authorization", "token", "client_secret"])
def test_a_secret_is_hidden_by_its_name(written: io.StringIO, name: str) -> None:
    structlog.get_logger("test_logs").info("made", **{name: SECRET}, nested={"list": [{name: SECRET}]})
    assert SECRET not in written.getvalue()
    assert logs.HIDDEN in written.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach postgresql://user:{SECRET}@db:5432/name",
        f"redis://:{SECRET}@127.0.0.1:6379/0 refused",
        f"Authorization: Bearer {SECRET}",
        f"host=db password={SECRET} dbname=x",
        f'{{"db_password": "{SECRET}"}}',
        f"CREATE SECRET (TYPE postgres, PASSWORD '{SECRET}')",
    ],
)
def test_a_secret_is_hidden_inside_a_text(written: io.StringIO, text: str) -> None:
    logging.getLogger("elsewhere").warning("it said: %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("elsewhere").exception("it failed")
    assert SECRET not in written.getvalue()
    assert written.getvalue().count(logs.HIDDEN) >= 2
    assert "it failed" in written.getvalue()


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_redaction_leaves_other_values_whole(value: object) -> None:
    cleaned = logs.redact({"value": value})
    assert set(cleaned) == {"value"}
    assert isinstance(cleaned["value"], type(value))
