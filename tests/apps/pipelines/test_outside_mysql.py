"""Out of one table of MariaDB into another, end to end: each row once, whatever dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.pipelines import services
from apps.sources import services as sources
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws
from tests.mariadb import Database
from tests.mortal import Mortals, mortals

pytestmark = pytest.mark.all

TEXT = """
manifold: 1
pipeline: out
retry: {attempts: 1}
steps:
  orders: {extract: {source: shop, stream: orders, mode: incremental}}
  sound: {check: {input: orders, rules: [{range: {column: amount, min: 0}, action: quarantine}]}}
  out: {load: {input: sound, destination: shop, table: sold, MODE}}
"""
APPEND = TEXT.replace("MODE", "mode: append")
MERGE = TEXT.replace("MODE", "mode: merge, key: [id]")
REPLACE = TEXT.replace("mode: incremental", "mode: full_refresh").replace("MODE", "mode: replace")
MODES = pytest.mark.parametrize("text", [APPEND, MERGE, REPLACE], ids=["append", "merge", "replace"])
PLACES = ("outside_begun", "outside_copied", "outside_settled", "outside_kept", "in_commit")


@pytest.fixture
def orders(workshop: Path, project: Project, mysql: Database) -> Database:
    mysql.do("CREATE TABLE orders (id int, amount int)", "INSERT INTO orders VALUES (1, 10), (2, 20)")
    source = sources.create_source(
        project=project, slug="shop", title="Shop", connector="mysql", params=mysql.params, actor=ws.ACTOR
    )
    sources.discover_streams(source=source, actor=ws.ACTOR)
    ws.cursor(source, "orders", "id")
    sources.update_source(Source.objects.get(slug="shop"), writable=True, actor=ws.ACTOR)
    return mysql


def table(base: Database, name: str = "sold") -> Counter[tuple[Any, ...]]:
    return Counter(base.ask(f"SELECT * FROM {name}"))


@MODES
def test_it_works(project: Project, orders: Database, text: str):
    pipeline = ws.published(project, text)
    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    out = ws.output(first, "out")
    assert (out["status"], out["inserted"], out["created"]) == ("loaded", 2, True)
    orders.do("INSERT INTO orders VALUES (3, 30), (4, -1)")
    second = ws.run(pipeline)
    assert second.state == "succeeded", ws.error_of(second)
    assert table(orders) == Counter({(1, 10): 1, (2, 20): 1, (3, 30): 1})


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Mortals]:
    with mortals(tmp_path_factory.mktemp("sold")) as found:
        yield found


@MODES
def test_whoever_dies_the_table_holds_each_row_once(project: Project, orders: Database, mortal: Mortals, text: str):
    """kill -9 at each place of a load; another attempt finishes what was begun, or finds it done."""
    pipeline = ws.published(project, text)
    for number, place in enumerate(PLACES):
        orders.do(f"INSERT INTO orders VALUES ({10 + 2 * number}, 1), ({11 + 2 * number}, 2)")
        started = services.start_run(pipeline, actor=ws.ACTOR)
        assert ws.killed(mortal, "out", place)
        ws.work()
        started.refresh_from_db()
        assert started.state == "succeeded", ws.error_of(started)
        late = place in ("outside_kept", "in_commit")
        assert ws.output(started, "out")["status"] == ("already_done" if late else "loaded")
        assert table(orders) == table(orders, "orders")
