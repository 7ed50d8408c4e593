"""kill -9 at each batch that ClickHouse sends, and at each place of plan, extract and load: each row comes once."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from apps.accounts.models import Project
from apps.pipelines import services
from apps.pipelines.execution import settling
from apps.pipelines.models import StepRun
from apps.sources import services as sources
from tests.apps.pipelines import workshop as ws
from tests.clickhouse_server import AT_ONCE, ClickHouseServer
from tests.mortal import Mortals, mortals

pytestmark = pytest.mark.all

TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: warehouse, stream: killed.orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""
# A number is a batch after which the reader dies.
RUNS = (
    ("plan in_commit", "plan committed", "orders 1", "orders 2", "orders 3", "kept committed"),
    ("orders 1", "orders 4", "orders written", "kept in_commit"),
    ("orders in_commit", "orders committed"),
)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Mortals]:
    with mortals(tmp_path_factory.mktemp("orders")) as found:
        yield found


def test_whoever_dies_each_row_comes_once(
    project: Project, workshop: object, clickhouse_server: ClickHouseServer, mortal: Mortals
):
    server = clickhouse_server
    server.do(
        "CREATE DATABASE killed", "CREATE TABLE killed.orders (n UInt32, at UInt32) ENGINE = MergeTree ORDER BY n"
    )
    source = sources.create_source(
        project, slug="warehouse", title="", connector="clickhouse", params=server.params, actor=ws.ACTOR
    )
    sent = 0

    def send(many: int, again: int = 0) -> None:
        """Rows whose cursors grow by one for every two; `again` of them with the last cursor there is."""
        nonlocal sent
        server.do(f"INSERT INTO killed.orders SELECT {sent} + number, intDiv({sent} + number, 2) FROM numbers({many})")
        sent += many
        if again:
            server.do(f"INSERT INTO killed.orders SELECT {sent} + number, intDiv({sent}, 2) FROM numbers({again})")
            sent += again

    send(2 * AT_ONCE)
    sources.discover_streams(source, names=["killed.orders"], actor=ws.ACTOR)
    ws.cursor(source, "killed.orders", "at", lookback=3)
    pipeline = ws.published(project, TEXT)
    for places in RUNS:
        send(3 * AT_ONCE, again=3)
        services.start_run(pipeline, actor=ws.ACTOR)
        for each in places:
            step_key, place = each.split()
            ws.work_before(step_key)
            step = StepRun.objects.get(key=step_key, state="ready")
            if place.isdecimal():
                server.die_after(int(place))
            assert mortal.work(step.pk, die_at=place) == -signal.SIGKILL, each
            left = StepRun.objects.filter(pk=step.pk, state="running")
            if left.update(lease_until=datetime(2026, 1, 1, tzinfo=UTC)):
                assert settling.lose(step.pk)
            send(1, again=1)
        ws.work()
    while ws.run(pipeline).state == "succeeded":
        pass
    assert ws.rows(project, "orders", "n") == Counter((n,) for n in range(sent))
