"""The console's pages of a project in which everything has been used: whom they open to, and at what cost."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, User
from apps.audit.models import Event
from apps.pipelines.models import Pipeline, Run
from apps.sources.models import Source
from tests.apps.pipelines import workshop as w

DOCUMENT = """\
manifold: 1
pipeline: {slug}
steps:
  rows: {{extract: {{source: drop, stream: orders, mode: incremental}}}}
  sound: {{check: {{input: rows, rules: [{{range: {{column: amount, max: 50}}, action: quarantine}}]}}}}
  kept: {{load: {{input: sound, dataset: {slug}, mode: append}}}}
"""
# Address, and the least role that it opens to.
PAGES = [
    ("", "viewer"),
    ("sources/", "viewer"),
    ("sources/drop/", "viewer"),
    ("sources/drop/edit/", "admin"),
    ("sources/drop/choose/", "admin"),
    ("sources/drop/streams/{stream}/", "viewer"),
    ("sources/drop/streams/{stream}/preview/", "viewer"),
    ("sources/drop/streams/{stream}/files/", "viewer"),
    ("new-source/", "admin"),
    ("new-source/local_files/", "admin"),
    ("pipelines/", "viewer"),
    ("pipelines/orders/", "viewer"),
    ("pipelines/orders/versions/1/", "viewer"),
    ("pipelines/orders/edit/", "operator"),
    ("pipelines/orders/plan/", "operator"),
    ("pipelines/orders/schedule/", "operator"),
    ("new-pipeline/", "operator"),
    ("runs/", "viewer"),
    ("runs/{run}/", "viewer"),
    ("runs/{run}/figures/", "viewer"),
    ("datasets/", "viewer"),
    ("datasets/orders/", "viewer"),
    ("datasets/orders/preview/", "viewer"),
    ("datasets/orders/download/csv/", "viewer"),
    ("audit/", "viewer"),
    ("members/", "viewer"),
]
ACTS = [
    ("sources/drop/test/", "operator"),
    ("sources/drop/delete/", "admin"),
    ("sources/drop/streams/{stream}/delete/", "admin"),
    ("sources/drop/edit/", "admin"),
    ("new-source/local_files/", "admin"),
    ("pipelines/orders/run/", "operator"),
    ("pipelines/orders/edit/", "operator"),
    ("pipelines/orders/delete/", "admin"),
    ("runs/{run}/cancel/", "operator"),
    ("runs/{run}/retry/", "operator"),
    ("runs/{run}/pause/", "operator"),
    ("runs/{run}/resume/", "operator"),
    ("runs/{run}/skip/", "operator"),
    ("pipelines/orders/pause/", "operator"),
    ("pipelines/orders/resume/", "operator"),
]
RANK = ["viewer", "operator", "admin"]
SignIn = Callable[[User], Client]


@pytest.fixture
def sign_in() -> SignIn:
    def signed_in(user: User) -> Client:
        client = Client(raise_request_exception=False)
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def used(project: Project, workshop: Path) -> dict[str, str]:
    """Everything has been used once: a source, a pipeline, a run, a dataset with rows set aside."""
    w.write(workshop, "orders_2026-01.csv", ["id,amount", "1,12.5", "2,99", "3,7.25"])
    source = w.files_source(project, workshop)
    run = w.run(w.published(project, DOCUMENT.format(slug="orders")))
    assert run.state == "succeeded", w.error_of(run)
    return {"stream": str(source.streams.get().pk), "run": str(run.pk)}


@pytest.fixture
def people(admin: User, operator: User, viewer: User, sign_in: SignIn) -> dict[str, Client]:
    """A signed-in client for each role."""
    return {"admin": sign_in(admin), "operator": sign_in(operator), "viewer": sign_in(viewer)}


def test_pages_open_to_those_they_are_for(
    used: dict[str, str], people: dict[str, Client], stranger: User, sign_in: SignIn
) -> None:
    outside, nobody = sign_in(stranger), Client()
    for address, least in PAGES:
        url = f"/p/flights/{address.format(**used)}"
        for role, client in people.items():
            wanted = 200 if RANK.index(role) >= RANK.index(least) else 403
            assert client.get(url).status_code == wanted, (url, role)
        assert outside.get(url).status_code == 404, url
        assert nobody.get(url).headers["Location"].startswith("/login/"), url


def test_the_figures_of_a_run_go_into_a_spreadsheet(used: dict[str, str], viewer: User, sign_in: SignIn) -> None:
    client, address = sign_in(viewer), "/p/flights/runs/{run}/".format(**used)
    assert f'href="{address}figures/" download' in client.get(address).text
    answer = client.get(f"{address}figures/")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="orders-{used["run"]}.csv"'
    steps = {each["key"]: each for each in csv.DictReader(answer.text.splitlines())}
    assert list(steps) == ["plan", "rows", "sound", "kept"]
    assert [steps["sound"][each] for each in ("state", "rows_in", "rows_out", "rows_rejected")] == [
        "succeeded",
        "3",
        "2",
        "1",
    ]
    assert float(steps["rows"]["duration_s"]) > 0
    assert int(steps["rows"]["bytes_out"]) > 0


def test_who_saves_second_is_told_and_keeps_the_text(used: dict[str, str], operator: User, sign_in: SignIn) -> None:
    client, address = sign_in(operator), "/p/flights/pipelines/orders/edit/"
    begun = client.get(address).context["begun_from"]
    assert client.post(address, {"text": "one", "do": "draft", "begun_from": begun}).status_code == 302
    second = {"text": "two", "do": "draft", "begun_from": begun}
    told = client.post(address, second)
    assert told.status_code == 409
    assert "Somebody has saved another text" in told.text and "two</textarea>" in told.text
    assert Pipeline.objects.get().draft == "one"
    assert client.post(address, {**second, "text": "one"}).status_code == 302, "the same text twice is no fault"
    assert client.post(address, {**second, "begun_from": told.context["begun_from"]}).status_code == 302
    assert Pipeline.objects.get().draft == "two"


def test_what_a_role_may_not_do_is_refused(
    used: dict[str, str], operator: User, viewer: User, stranger: User, sign_in: SignIn
) -> None:
    before = Event.objects.count()
    for address, least in ACTS:
        url = f"/p/flights/{address.format(**used)}"
        assert sign_in(viewer).post(url, {"do": "publish"}).status_code == 403, url
        assert sign_in(stranger).post(url).status_code == 404, url
        if least == "admin":
            assert sign_in(operator).post(url).status_code == 403, url
    publishing = sign_in(operator).post("/p/flights/pipelines/orders/edit/", {"text": "manifold: 1", "do": "publish"})
    assert publishing.status_code == 403
    assert Pipeline.objects.get().draft == ""
    signed_in = Event.objects.filter(verb__icontains="sign").count()
    assert Event.objects.count() - before <= signed_in
    assert Run.objects.count() == 1


def test_a_viewer_is_offered_nothing_to_change(used: dict[str, str], viewer: User, sign_in: SignIn) -> None:
    for address, least in PAGES:
        if least == "viewer":
            page = sign_in(viewer).get(f"/p/flights/{address.format(**used)}")
            text = "" if page.streaming else page.content.decode()
            assert "/edit/" not in text and "/run/" not in text and "/delete/" not in text, address


def test_a_run_is_started_and_its_page_shows_it(used: dict[str, str], operator: User, sign_in: SignIn) -> None:
    client = sign_in(operator)
    answer = client.post("/p/flights/pipelines/orders/run/", {"mode": "seed"})
    run = Run.objects.order_by("-id")[0]
    assert answer.headers["Location"] == f"/p/flights/runs/{run.pk}/"
    assert (run.actor_name, run.requested_mode) == ("olga", "seed")
    part = client.get(answer.headers["Location"], headers={"HX-Request": "true"}).content.decode()
    assert "every 2s" in part and "<html" not in part
    w.work()
    part = client.get(answer.headers["Location"], headers={"HX-Request": "true"}).content.decode()
    assert "every 2s" not in part and "succeeded" in part


def test_a_document_is_validated_with_its_lines(used: dict[str, str], operator: User, sign_in: SignIn) -> None:
    text = DOCUMENT.format(slug="orders").replace("input: rows", "input: rwos")
    part = sign_in(operator).post("/p/flights/validate/", {"text": text}).content.decode()
    assert 'data-line="5"' in part and "rwos" in part


def test_the_editor_says_what_each_extract_reads(used: dict[str, str], operator: User, sign_in: SignIn) -> None:
    client, address = sign_in(operator), "/p/flights/validate/"
    text = DOCUMENT.format(slug="orders")
    Source.objects.update(health="warning", health_reason="It comes and goes.", health_at=Run.objects.get().created_at)
    reads = client.post(address, {"text": text}).text.partition('id="reads"')[2]
    assert "each run reads what is new; a first run reads 29 B\n</p>" in reads
    assert '2 columns: <code>id</code> <span class="muted">BIGINT</span>, <code>amount</code>' in reads
    assert "warning" in reads and "It comes and goes." in reads and "tested <time" in reads
    assert f'href="/p/flights/sources/drop/streams/{used["stream"]}/"' in reads
    narrower = text.replace("mode: incremental", "columns: [amount]")
    Source.objects.update(health="unknown", health_reason="", health_at=None)
    reads = client.post(address, {"text": narrower}).text.partition('id="reads"')[2]
    assert "each run reads all; a first" in reads and "not tested since it was changed" in reads
    assert "1 column: <code>amount</code>" in reads and "<code>id</code>" not in reads
    unknown = client.post(address, {"text": text.replace("mode: incremental", "columns: [nope]")})
    assert unknown.status_code == 200 and "0 columns" in unknown.text


def test_a_document_that_cannot_be_used_comes_back_as_it_was_typed(
    used: dict[str, str], admin: User, sign_in: SignIn
) -> None:
    answer = sign_in(admin).post("/p/flights/new-pipeline/", {"text": "manifold: 1\nsteps: <b>", "do": "publish"})
    assert answer.status_code == 422
    assert "steps: &lt;b&gt;" in answer.content.decode()


def test_a_refusal_of_a_service_is_a_toast(used: dict[str, str], admin: User, sign_in: SignIn) -> None:
    for address in ("sources/drop/delete/", f"sources/drop/streams/{used['stream']}/delete/"):
        answer = sign_in(admin).post(f"/p/flights/{address}", follow=True)
        assert "is used by orders" in answer.content.decode() and 'class="toast error"' in answer.content.decode()
    assert Source.objects.get().streams.count() == 1


def test_a_plan_says_how_long_such_runs_take(used: dict[str, str], operator: User, sign_in: SignIn) -> None:
    page = "/p/flights/pipelines/orders/plan/"
    assert "usually takes" in sign_in(operator).get(f"{page}?mode=seed").content.decode()
    assert "usually takes" not in sign_in(operator).get(page).content.decode(), "nothing is new"


def test_a_plan_that_cannot_be_made_says_why_on_its_page(
    used: dict[str, str], operator: User, sign_in: SignIn, workshop: Path
) -> None:
    workshop.rename(workshop.with_name("elsewhere"))
    answer = sign_in(operator).get("/p/flights/pipelines/orders/plan/")
    assert answer.status_code == 409
    assert "path_missing" in answer.text and 'href="/p/flights/pipelines/orders/"' in answer.text


def test_who_picks_no_file_of_the_list_starts_nothing(used: dict[str, str], operator: User, sign_in: SignIn) -> None:
    client = sign_in(operator)
    assert 'name="picking" value="yes"' in client.get("/p/flights/pipelines/orders/files/").content.decode()
    answer = client.post("/p/flights/pipelines/orders/run/", {"picking": "yes", "again": "yes"}, follow=True)
    assert "No file is picked" in answer.content.decode()
    assert Run.objects.count() == 1


def test_nonsense_in_an_address_is_not_found(used: dict[str, str], viewer: User, sign_in: SignIn) -> None:
    client = sign_in(viewer)
    for address in ("pipelines/none/", "datasets/orders/?snapshot=99", "datasets/orders/download/xls/", "audit/0/"):
        assert client.get(f"/p/flights/{address}").status_code == 404, address
    for address in ("runs/?before=x&state=x&mode=x", f"audit/?since=x&before={10**30}"):
        assert client.get(f"/p/flights/{address}").status_code == 200, address
    assert client.get("/p/flights/audit/?actor=%00").status_code == 400


@pytest.mark.parametrize("named", ["", "no-such"])
def test_nonsense_in_a_form_is_not_found(used: dict[str, str], operator: User, sign_in: SignIn, named: str) -> None:
    client, stream = sign_in(operator), f"/p/flights/sources/drop/streams/{used['stream']}/"
    assert client.post(f"{stream}drift/accept/", {"drift": named}).status_code == 404
    assert client.post(f"{stream}files/", {"file": named}).status_code == 404


def test_lists_cost_the_same_however_long_they_are(
    used: dict[str, str], project: Project, viewer: User, sign_in: SignIn
) -> None:
    client = sign_in(viewer)
    client.get("/p/flights/")  # The session remembers its project now.
    addresses = ["", "pipelines/", "runs/", "datasets/", "sources/"]
    before = [_cost(client, f"/p/flights/{each}") for each in addresses]
    for number in range(4):
        w.run(w.published(project, DOCUMENT.format(slug=f"orders-{number}")))
    assert [_cost(client, f"/p/flights/{each}") for each in addresses] == before
    assert max(before) <= 20


def _cost(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        answer: Any = client.get(url)
    assert answer.status_code == 200
    return len(queries)
