"""`manifold pause`, `resume`, and what `manifold runs` does to a run and tells of it."""

from __future__ import annotations

import json

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(served: Served) -> None:
    paused = served.json("pause", "orders", "--reason", "stocktaking")
    assert (paused["paused_by"].partition("/")[0], paused["paused_reason"]) == ("ada", "stocktaking")
    assert "paused already" in served.manifold("pause", "orders").stderr
    waiting = served.json("run", "orders")
    assert waiting["waits_for"].endswith("paused by " + paused["paused_by"] + ": stocktaking.")
    skipped = served.json("runs", "skip", waiting["id"], "--reason", "too late")
    assert skipped["state"] == "skipped" and "too late" in skipped["mode_reason"]
    assert served.manifold("resume", "orders").stdout == "orders: resumed\n"


def test_a_run_is_paused_and_goes_on(served: Served) -> None:
    run = str(served.made.running.pk)
    paused = served.manifold("runs", "pause", run, "--reason", "lunch")
    assert "waits for      It was paused by ada/key: lunch." in paused.stdout
    assert served.json("runs", "resume", run)["state"] == "running"
    refused = served.manifold("runs", "decide", run, "stop")
    assert refused.exit_code == 1 and "asks nothing" in refused.stderr


def test_the_log_is_printed_as_text_and_as_objects(served: Served) -> None:
    run = str(served.made.succeeded.pk)
    shown = served.manifold("runs", "logs", run, "--step", "kept").stdout
    assert shown.endswith("kept          Loaded 2 rows: snapshot 1 of orders.\n")
    lines = served.manifold("runs", "logs", run, "--follow", "--json").stdout.splitlines()
    assert json.loads(lines[-1])["text"] == "The run has ended: succeeded."
    assert served.manifold("runs", "logs", run, "--level", "error").stdout == ""


def test_a_pipeline_is_cloned(served: Served) -> None:
    made = served.json("clone", "orders", "twin", "--dataset", "orders=twins")
    assert made["slug"] == "twin" and "dataset: twins" in made["draft"]
    assert served.manifold("clone", "orders", "other", "--dataset", "orders").exit_code == 2
