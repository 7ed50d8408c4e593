"""`manifold sources lag` and `inbox`."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(served: Served) -> None:
    served.json("sources", "add", "events", "--connector", "webhooks")
    shown = served.manifold("sources", "inbox", "events").stdout
    assert f"{served.url}/in/" in shown and "no event is taken" in shown
    made = served.manifold("sources", "inbox", "events", "--new-secret").stdout
    assert "whsec_" in made
    served.json("sources", "inbox", "events", "--new-secret")
    assert served.json("sources", "inbox", "events")["secrets"] == 2
    assert "are refused" in served.manifold("sources", "inbox", "events", "--drop-previous").stdout
    assert served.manifold("sources", "inbox", "events", "--drop-previous").exit_code == 1
    lag = served.manifold("sources", "lag", "events", "events").stdout
    assert "holds 0 messages" in lag and "No published pipeline" in lag


def test_other_sources_take_no_events(served: Served) -> None:
    refused = served.manifold("sources", "inbox", "drop")
    assert refused.exit_code == 1
    assert "takes no events" in refused.stderr
    assert "no stream of messages" in served.manifold("sources", "lag", "drop", "orders").stderr
