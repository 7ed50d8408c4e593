"""kill -9 at each batch that MongoDB's protocol brings, and at each place of a run: each document comes once."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from bson import DatetimeMS

from apps.accounts.models import Project
from apps.pipelines import services
from apps.pipelines.execution import settling
from apps.pipelines.models import StepRun
from apps.sources import services as sources
from dataplane.connectors.mongodb.reading import BATCH
from tests.apps.pipelines import workshop as ws
from tests.mongo_server import Store, serving
from tests.mortal import Mortals, mortals

pytestmark = pytest.mark.all

TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: shop, stream: orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""
# A number is a batch, behind the first, in the place of which the reader dies.
RUNS = (
    ("plan in_commit", "plan committed", "orders 1", "orders 2", "kept committed"),
    ("orders 2", "orders written", "kept in_commit"),
    ("orders in_commit", "orders committed"),
)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Mortals]:
    with mortals(tmp_path_factory.mktemp("orders")) as found:
        yield found


def test_whoever_dies_each_document_comes_once(project: Project, workshop: object, mortal: Mortals):
    store, sent = Store(), 0

    def send(many: int, again: int = 0) -> None:
        """Documents whose dates grow for every two; `again` of them with the last date there is."""
        nonlocal sent
        store.add("orders", *({"_id": n, "at": DatetimeMS(n // 2)} for n in range(sent, sent + many)))
        sent += many
        store.add("orders", *({"_id": n, "at": DatetimeMS((sent - 1) // 2)} for n in range(sent, sent + again)))
        sent += again

    with serving(store) as port:
        send(10)
        params = {"host": "127.0.0.1", "port": port, "database": "shop", "tls": "disable"}
        source = sources.create_source(
            project, slug="shop", title="", connector="mongodb", params=params, actor=ws.ACTOR
        )
        sources.discover_streams(source, names=["orders"], actor=ws.ACTOR)
        ws.cursor(source, "orders", "at", lookback=0.003)
        pipeline = ws.published(project, TEXT)
        for places in RUNS:
            send(3 * BATCH if " 2" in "".join(places) else 50, again=3)
            services.start_run(pipeline, actor=ws.ACTOR)
            for each in places:
                step_key, place = each.split()
                ws.work_before(step_key)
                step = StepRun.objects.get(key=step_key, state="ready")
                store.kill_at = int(place) if place.isdecimal() else None
                assert mortal.work(step.pk, die_at=place) == -signal.SIGKILL, each
                left = StepRun.objects.filter(pk=step.pk, state="running")
                if left.update(lease_until=datetime(2026, 1, 1, tzinfo=UTC)):
                    assert settling.lose(step.pk)
                send(1, again=1)
            ws.work()
        while ws.run(pipeline).state == "succeeded":
            pass
    assert ws.rows(project, "orders", "_id") == Counter((n,) for n in range(sent))
