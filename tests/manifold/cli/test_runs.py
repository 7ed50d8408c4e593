"""`manifold run` and `manifold runs`, against a real server and a real worker."""

from __future__ import annotations

import pytest

from manifold.cli.runs import show_plan
from tests.furnished import DOCUMENT
from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(worked: Served) -> None:
    more = worked.made.folder / "drop" / "orders-2026-02.csv"
    more.write_text("id,customer,amount,ordered_at\n4,dan,8.00,2026-02-01 09:00:00\n5,eve,70.00,2026-02-02 09:00:00\n")
    cancel_all(worked)
    result = worked.manifold("run", "orders", "--wait")
    assert result.exit_code == 0, result.output
    assert "state          succeeded" in result.stdout
    assert "rows written   1" in result.stdout
    # The check that set a row aside is shown with its rule.
    assert "quarantine" in result.stdout
    shown = worked.json("runs", "list", "--limit", "1")["results"][0]
    assert (shown["state"], shown["rows_written"], shown["rows_rejected"]) == ("succeeded", 1, 1)
    status = worked.json("status", code=3)  # No worker takes the ticks of `system` here.
    assert [each["fresh"] for each in status["datasets"] if each["dataset"] == "orders"] == [True]


def test_a_run_that_fails_leaves_with_1_and_says_why(worked: Served) -> None:
    strict = DOCUMENT.replace("pipeline: orders", "pipeline: strict").replace("dataset: orders", "dataset: strict")
    file = worked.made.folder / "strict.yaml"
    file.write_text(strict.replace("max: 50}, action: quarantine", "max: 5}, action: stop"))
    assert worked.manifold("apply", "-f", str(file), "--publish").exit_code == 0
    result = worked.manifold("run", "strict", "--wait")
    assert result.exit_code == 1
    assert "state          failed" in result.stdout
    assert "amount" in result.stdout and "→" in result.stdout
    run = worked.json("runs", "list", "--pipeline", "strict", "--state", "failed")["results"][0]
    assert run["error"]["code"] == "check_failed"
    assert worked.json("runs", "retry", run["id"], "--wait", code=1)["retry_of"] == run["id"]


def test_a_run_is_shown_as_the_api_shows_it(served: Served) -> None:
    run = str(served.made.succeeded.pk)
    assert served.json("runs", "show", run) == served.client().in_project("GET", f"runs/{run}/")
    result = served.manifold("runs", "show", run)
    assert result.stdout.splitlines()[0] == f"run            {run}"
    assert all(f"\n{step}" in result.stdout for step in ("plan", "orders", "sound", "kept"))


def test_a_plan_says_once_why_nothing_is_read(served: Served) -> None:
    cancel_all(served)
    plan = served.json("run", "orders", "--dry-run")
    assert {"mode", "mode_reason", "steps"} == set(plan)
    lines = served.manifold("run", "orders", "--dry-run").stdout.splitlines()
    assert lines[0] == f"mode     {plan['mode']}"
    assert lines[1] == f"because  {plan['mode_reason']}"
    assert lines[3].split() == ["step", "kind", "reads", "rows", "size"]
    assert len([each for each in lines if plan["mode_reason"] in each]) == 1


def test_a_plan_tells_the_bounds_of_what_is_read_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    reads = [
        {"stream": "people", "column": "changed", "lower": None, "upper": "2026-01-02"},
        {"stream": "events", "partition": "3", "lower": "5", "upper": "9"},
        {"stream": "planes"},
        {"path": "a.csv", "size": 5},
    ]
    step = {"key": "x", "kind": "extract", "skip_reason": None, "estimate": None, "warnings": ["b.csv is\x1b left."]}
    show_plan({"mode": "auto", "mode_reason": "", "steps": [{**step, "reads": [each]} for each in reads]})
    said, warned = capsys.readouterr()
    assert warned.count("x: b.csv is") == 4 and "\x1b" not in warned
    assert "people: changed from the beginning to 2026-01-02" in said
    assert "events, partition 3: from 5 to 9" in said and "planes" in said and "a.csv" in said and "{" not in said


def test_a_field_at_fault_is_told_once_and_commands_nothing_to_the_terminal(served: Served) -> None:
    said = served.manifold("run", "orders", "--step", "no\x1b[31mthing").stderr
    assert said.count("There is no step") == 1 and "\x1b" not in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nothing"], 2, "There is no pipeline `nothing`"),
        (["run", "orders", "--mode", "fast"], 2, "'fast' is not one of"),
        (["run", "../runs"], 2, "nothing at this address"),
        (["runs", "show", "nonsense"], 2, "There is no run `nonsense`"),
        (["runs", "show", "01890000-0000-7000-8000-000000000000"], 2, "There is no run"),
        (["runs", "list", "--state", "asleep"], 2, "asleep"),
        (["runs", "list", "--limit", "0"], 2, "0 is not in the range"),
        (["runs", "retry", "SUCCEEDED"], 1, "nothing to repeat"),
    ],
)
def test_wrong_words(served: Served, words: list[str], code: int, said: str) -> None:
    result = served.manifold(*[str(served.made.succeeded.pk) if each == "SUCCEEDED" else each for each in words])
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def cancel_all(served: Served) -> None:
    """End what still runs, so that the next run is the only one."""
    for each in list(served.client().each("runs/", state="running")):
        served.client().in_project("POST", f"runs/{each['id']}/cancel/")
