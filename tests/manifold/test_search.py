"""The search finds what its user may see, by name and title, and runs by their id."""

from __future__ import annotations

import pytest

from apps.accounts import services as accounts
from apps.accounts.models import Project, Role, User
from apps.audit.context import SYSTEM
from apps.pipelines.models import Run
from apps.snapshots import saved
from manifold.console.search import EACH, search
from tests.people import signed_in
from tests.scale import furnish_scale

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(project: Project) -> Project:
    furnish_scale(project, pipelines=12, runs=12)
    return project


def names(user: User, project: Project, text: str) -> list[tuple[str, str]]:
    return [(each.kind, each.name) for each in search(user, project, text)]


def test_it_works(filled: Project, viewer: User) -> None:
    client = signed_in(viewer)
    page = client.get("/p/flights/search/", {"q": "shop 12"})
    assert "<html" in page.content.decode()
    part = client.get("/p/flights/search/", {"q": "shop 12"}, headers={"HX-Request": "true"}).content.decode()
    assert "/p/flights/pipelines/pipeline-012/" in part and "<html" not in part


def test_names_titles_and_every_kind_are_found(filled: Project, viewer: User) -> None:
    assert names(viewer, filled, "SHOP 12") == [("Pipeline", "pipeline-012"), ("Source", "source-12")]
    assert names(viewer, filled, "orders-003") == [("Dataset", "orders-003")]
    saved.create(filled, title="Late flights", sql="SELECT 1 AS n", user=viewer, actor=SYSTEM)
    [found] = search(viewer, filled, "late FL")
    assert (found.kind, found.name, found.url) == ("Saved query", "late-flights", "/p/flights/sql/?saved=late-flights")
    assert names(viewer, filled, "nothing like it") == []


def test_what_begins_with_the_text_comes_first_and_there_are_few_of_each_kind(filled: Project, viewer: User) -> None:
    found = names(viewer, filled, "source-1")
    assert found[0] == ("Source", "source-1")
    assert len(found) == EACH


def test_a_run_is_found_by_the_beginning_of_its_id(filled: Project, viewer: User) -> None:
    run = Run.objects.order_by("-id")[0]
    assert [each.more for each in search(viewer, filled, str(run.pk))] == [str(run.pk)]
    assert str(run.pk) in [each.more for each in search(viewer, filled, str(run.pk)[:13].upper())]
    assert search(viewer, filled, "0") == [] or all(each.kind != "Run" for each in search(viewer, filled, "0"))


def test_other_projects_stay_out_of_it(filled: Project, viewer: User, stranger: User) -> None:
    elsewhere = Project.objects.get(slug="elsewhere")
    furnish_scale(elsewhere, pipelines=2, runs=2)
    run = Run.objects.filter(project=elsewhere)[0]
    assert search(viewer, elsewhere, "pipeline") == []
    assert search(viewer, filled, str(run.pk)) == []
    assert search(stranger, filled, "pipeline") == []
    accounts.set_membership(elsewhere, viewer, role=Role.VIEWER, actor=SYSTEM)
    assert len(names(User.objects.get(pk=viewer.pk), elsewhere, "pipeline")) == 2


@pytest.mark.parametrize("text", ["%", "_", "'", "\\", "<script>", "é" * 200])
def test_odd_characters_are_only_text(filled: Project, viewer: User, text: str) -> None:
    client = signed_in(viewer)
    answer = client.get("/p/flights/search/", {"q": text}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "pipeline-0" not in answer.content.decode()
    assert "<script>" not in answer.content.decode()
