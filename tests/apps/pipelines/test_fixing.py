"""Applying what the errors of real runs suggest."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from apps.accounts.models import Project, Role
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from apps.pipelines import fixing
from apps.sources.models import SourceFile
from tests.apps.pipelines import workshop as w
from tests.people import Api, member

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = """\
manifold: 1
pipeline: orders
steps:
  rows: {extract: {source: drop, stream: orders, mode: incremental}}
  kept: {load: {input: rows, dataset: orders}}
"""


@pytest.fixture
def shop(workshop: Path) -> Project:
    project = Project.objects.create(slug="shop", name="Shop")
    w.write(workshop, "orders-1.csv", ["id,amount", "1,12.5", "2,99"])
    w.files_source(project, workshop)
    w.published(project, DOCUMENT)
    assert w.run(project.pipelines.get()).state == "succeeded"
    return project


def test_a_file_that_went_away_is_set_aside_and_the_run_goes_on_without_it(
    shop: Project, workshop: Path, api: Api
) -> None:
    lost = w.write(workshop, "orders-2.csv", ["id,amount", "3,7"])
    w.write(workshop, "orders-3.csv", ["id,amount", "4,8"])
    pipeline = shop.pipelines.get()
    cut = w.run_cut_off(pipeline, "rows")
    assert cut.state == "cancelled"
    lost.unlink()
    failed = w.run(pipeline)
    assert w.failure(failed)["code"] == "files_missing"
    assert fixing.fixable(failed) == {"ignore_files"}
    olga = member("olga", shop, Role.OPERATOR)
    answer = api(olga).post(f"/api/v1/projects/shop/runs/{failed.pk}/suggestions/ignore_files/apply/")
    assert answer.status_code == 201, answer.content
    assert answer.json()["retry_of"] == str(failed.pk)
    w.work()
    assert SourceFile.objects.get(path="orders-2.csv").ignored
    assert sum(w.rows(shop, "orders", "id").values()) == 3
    applied = Event.objects.get(verb="suggestion applied")
    assert (applied.actor_name, applied.data) == ("olga", {"suggestion": "ignore_files", "step": "plan"})


def test_a_damaged_file_is_set_aside_from_the_page(shop: Project, workshop: Path, client: Client) -> None:
    w.write(workshop, "orders-2.csv", ["some,other,header", "3,7,8"])
    failed = w.run(shop.pipelines.get())
    assert w.failure(failed)["code"] == "header_missing"
    client.force_login(member("vera", shop, Role.VIEWER))
    place = f"/p/shop/runs/{failed.pk}/"
    assert "fix/ignore_file/" not in client.get(place).content.decode()
    client.force_login(member("olga", shop, Role.OPERATOR))
    assert "fix/ignore_file/" in client.get(place).content.decode()
    went = client.post(f"{place}fix/ignore_file/")
    w.work()
    following = failed.retries.get()
    assert went.headers["Location"] == f"/p/shop/runs/{following.pk}/"
    assert following.state == "succeeded" and sum(w.rows(shop, "orders", "id").values()) == 2
    assert SourceFile.objects.get(path="orders-2.csv").ignored


def test_a_schema_that_no_longer_fits_is_read_again_from_the_beginning(shop: Project, workshop: Path) -> None:
    source = shop.sources.get()
    w.write(workshop, "orders-1.csv", ["id,amount", "1,cheap"])
    w.sources.discover_streams(source=source, actor=w.ACTOR)
    failed = w.run(shop.pipelines.get(), "repair")
    assert w.failure(failed)["code"] == "closed_window_differs"
    seed = fixing.apply(failed, "seed", actor=w.ACTOR)
    assert (seed.requested_mode, seed.retry_of) == ("seed", None)


def test_what_is_not_suggested_is_refused(shop: Project) -> None:
    run = shop.runs.get()
    with pytest.raises(Conflict, match="does not suggest `seed`"):
        fixing.apply(run, "seed", actor=w.ACTOR)
