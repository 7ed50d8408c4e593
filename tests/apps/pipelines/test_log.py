"""The log of a run: what is written, by whom, once, without secrets; and how it is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, Role
from apps.pipelines import runlog
from apps.pipelines.execution import settling
from apps.pipelines.execution.claiming import claim
from apps.pipelines.execution.heartbeat import Heartbeat
from apps.pipelines.models import LogLine, Run
from dataplane.errors import TransientError
from dataplane.steps.base import StepResult
from dataplane.steps.log import MOST, Line, Log
from tests import kinds
from tests.apps.pipelines import workshop as w
from tests.apps.pipelines.execution.factories import make_run, step_of
from tests.people import Api, member

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = """\
manifold: 1
pipeline: orders
steps:
  rows: {extract: {source: drop, stream: orders, mode: incremental}}
  sound: {check: {input: rows, rules: [{range: {column: amount, max: 50}, action: warn, name: small}]}}
  named: {sql: {inputs: {s: sound}, query: SELECT * FROM s}}
  kept: {load: {input: named, dataset: orders}}
"""


@pytest.fixture
def ran(workshop: Path) -> Run:
    project = Project.objects.create(slug="shop", name="Shop")
    w.write(workshop, "orders-1.csv", ["id,amount", "1,12.5", "2,99"])
    w.files_source(project, workshop)
    run = w.run(w.published(project, DOCUMENT))
    assert run.state == "succeeded", w.error_of(run)
    return run


def said(run: Run, step: str | None = None) -> list[str]:
    return [each.text for each in runlog.lines_of(run, step=step)]


def test_it_works(ran: Run) -> None:
    assert said(ran, "")[0] == "Started by tests, version 1."
    assert said(ran, "")[-1] == "The run has ended: succeeded."
    assert said(ran, "plan")[0].startswith("Mode seed. First read.")
    assert said(ran, "rows") == ["Read orders-1.csv: 2 rows.", "Staged 2 rows."]
    (small,) = said(ran, "sound")
    assert small.startswith("small failed: 1 of 2 rows (50.00%) do not hold to it")
    assert said(ran, "named") == ["Made 2 rows."]
    assert said(ran, "kept") == ["Loaded 2 rows: snapshot 1 of orders."]
    assert [each.level for each in runlog.lines_of(ran, level="warning")] == ["warning"]


def test_it_is_read_through_the_api_and_as_a_file(ran: Run, api: Api) -> None:
    client = api(member("vera", ran.project, Role.VIEWER))
    base = f"/api/v1/projects/shop/runs/{ran.pk}/logs/"
    every = client.get(base).json()["results"]
    assert [each["text"] for each in every] == said(ran)
    rest = client.get(base, {"after": every[2]["id"], "page_size": 2}).json()
    assert rest["results"] == every[3:5] and rest["next"]
    assert {each["step"] for each in client.get(base, {"step": "rows"}).json()["results"]} == {"rows"}
    assert client.get(base, {"level": "loud"}).status_code == 400
    text = b"".join(client.get(f"{base}file/")).decode().splitlines()
    assert len(text) == len(every) and text[-1].endswith("info    - The run has ended: succeeded.")
    lines = b"".join(client.get(f"{base}file/", {"format": "ndjson", "step": "kept"})).decode().splitlines()
    assert [json.loads(each)["fields"]["snapshot"] for each in lines] == [1]


def test_the_page_shows_it_narrowed(ran: Run, client: Client) -> None:
    client.force_login(member("vera", ran.project, Role.VIEWER))
    part = f"/p/shop/runs/{ran.pk}/log/"
    client.get(part)
    with CaptureQueriesContext(connection) as asked:
        page = client.get(part).content.decode()
    assert "Read orders-1.csv: 2 rows." in page and 'hx-trigger="every 2s"' not in page
    assert len(asked) <= 8
    page = client.get(part, {"step": "sound", "level": "warning"}).content.decode()
    assert "small failed" in page and "Staged" not in page
    assert client.get(f"{part}file/").headers["Content-Disposition"].endswith('.log"')


def test_what_is_written_twice_is_there_once() -> None:
    kinds.register()
    run = make_run()
    mine = claim(step_of(run, "a").pk, "host:1/m")
    assert mine is not None
    mine.log.say("Half of it is read.", rows=5)
    with Heartbeat(mine, None) as heartbeat:
        heartbeat._beat()
        heartbeat._beat()
        assert said(run) == ["Half of it is read."]
        mine.log.say("All of it is read.")
        settling.succeed(mine, StepResult(), 1)
    assert said(run, "a") == ["Half of it is read.", "All of it is read."]


def test_a_step_that_says_nothing_costs_nothing() -> None:
    kinds.register()
    run = make_run({"a": {}, "b": {"inputs": ["a"]}})
    mine = claim(step_of(run, "a").pk, "host:1/m")
    assert mine is not None
    with CaptureQueriesContext(connection) as asked:
        settling.succeed(mine, StepResult(), 1)
    assert not [each for each in asked if "logline" in each["sql"]]


def test_a_failure_and_its_next_try_are_told() -> None:
    kinds.register()
    run = make_run(retry={"attempts": 2, "delays": [30]})
    mine = claim(step_of(run, "a").pk, "host:1/m")
    assert mine is not None
    settling.fail(mine, TransientError("The network dropped.", code="dropped"), 1)
    assert said(run, "a") == ["The network dropped.", "It is tried again in 30 s."]
    assert [each.level for each in runlog.lines_of(run)] == ["error", "warning"]


def test_secrets_are_hidden_and_lines_have_their_measure() -> None:
    run = make_run()
    lines = [
        Line("Cannot reach postgresql://ann:hunter2@db/shop\0", fields={"password": "hunter2", "at": "x\0y"}),
        Line("long " * 1000, fields={"rows": list(range(5000))}),
        Line("half \ud800", fields={"file": "a\udcff.csv", "share": float("nan"), "said": "\\u0000"}),
    ]
    runlog.write(runlog.Speaker(run.pk, "a", 1, 1), lines)
    first, second, third = LogLine.objects.filter(run=run)
    assert "hunter2" not in first.text + json.dumps(first.fields) and first.fields["at"] == "xy"
    assert len(second.text) == 1000 and second.fields == {"left_out": ["rows"]}
    assert third.text == "half ?" and third.fields == {"file": "a?.csv", "share": "nan", "said": "\\u0000"}


def test_an_execution_says_so_much_and_no_more() -> None:
    log = Log()
    for number in range(MOST + 100):
        log.say(f"line {number}")
    assert len(log.lines) == MOST + 1 and "left out" in log.lines[-1].text
