"""Ranges of the past, types that do not fit, a schedule in form and document, a retry, the audit log: whole flows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from manifold.client import Client
from tests.browser.axe import serious_faults
from tests.browser.conftest import PATIENCE, Open
from tests.browser.installation import Installation

pytestmark = pytest.mark.all

DAYS = """\
manifold: 1
pipeline: days
steps:
  days: {extract: {source: day-drop, stream: day, mode: incremental}}
  kept: {load: {input: days, dataset: days}}
"""
STRICT = """\
manifold: 1
pipeline: strict
steps:
  odd: {extract: {source: day-drop, stream: odd}}
  sound: {check: {input: odd, rules: [{not_null: id, action: stop}, {row_count: {max: 2}, action: stop}]}}
  kept: {load: {input: sound, dataset: strict, mode: replace}}
"""
ASKS = STRICT.replace("strict", "asks").replace("row_count: {max: 2}, action: stop", "row_count: {max: 2}, action: ask")


@pytest.fixture(scope="module")
def project(installation: Installation) -> Iterator[Client]:
    """Three files of days, one with a text among its numbers, and three pipelines that have not run."""
    folder = installation.drop / "days"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"day_2026-01-0{day}.csv").write_text(f"id,amount\n{day},1.5\n")
    (folder / "odd.csv").write_text("id,amount\n1,12.5\n2,n/a\n3,7\n")
    installation.client().call("POST", "projects/", json={"slug": "past", "name": "Past"})
    client = installation.client("past")
    body = {"slug": "day-drop", "title": "Days", "connector": "local_files", "params": {"path": str(folder)}}
    client.in_project("POST", "sources/", json=body)
    client.in_project("POST", "sources/day-drop/discover/")
    for text in (DAYS, STRICT, ASKS):
        client.in_project("POST", "pipelines/apply/", json={"text": text, "publish": True})
    yield client
    # Other modules look into the folder above.
    shutil.rmtree(folder)


def _dry_run(page: Page) -> None:
    page.goto("/p/past/pipelines/days/backfills/")
    page.get_by_label("From").fill("2026-01-01")
    page.get_by_label("To", exact=True).fill("2026-01-04")
    page.get_by_label("A slice is").select_option("day")
    page.get_by_role("button", name="Show what it would read").click()
    shown = page.locator("#preview")
    expect(shown).to_contain_text("3 of 3 slices have something to read")
    expect(shown).to_contain_text("day_2026-01-02.csv")


def test_a_backfill_from_its_dry_run_to_cancelled(open_page: Open, signed_in: Path, project: Client) -> None:
    """While its pipeline is paused no slice begins, so each state lasts as long as it is looked at."""
    project.in_project("POST", "pipelines/days/pause/", json={})
    page = open_page(signed_in, width=390, height=844)
    page.goto("/p/past/pipelines/days/backfills/")
    expect(page.get_by_text("No backfill yet")).to_be_visible()
    _dry_run(page)
    assert not serious_faults(page)
    page.get_by_role("button", name="Start it").click()
    head = page.locator("#backfill .head")
    expect(head.locator(".state")).to_have_text("running")
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog", name="Pause this backfill")
    dialog.get_by_label("Reason").fill("The shop is moving.")
    dialog.get_by_role("button", name="Pause").click()
    expect(head.locator(".state")).to_have_text("paused")
    expect(head).to_contain_text("The shop is moving.")
    page.get_by_role("button", name="Resume").click()
    expect(head.locator(".state")).to_have_text("running")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(head.locator(".state")).to_have_text("cancelled")
    expect(page.locator("#backfill")).to_contain_text("not read")
    assert not serious_faults(page)
    project.in_project("POST", "pipelines/days/resume/", json={})


def test_a_range_is_read_in_one_run(open_page: Open, signed_in: Path, project: Client) -> None:
    page = open_page(signed_in)
    page.goto("/p/past/pipelines/days/")
    page.get_by_role("button", name="Choose how to run").click()
    dialog = page.get_by_role("dialog", name="Run days")
    expect(dialog.get_by_text("Only these steps")).to_be_visible()
    dialog.get_by_label("Range").check()
    expect(dialog.get_by_text("Only these steps")).to_be_hidden()
    dialog.get_by_role("textbox", name="From").fill("2026-01-02")
    dialog.get_by_role("textbox", name="To").fill("2026-01-03")
    dialog.get_by_role("button", name="Show the plan").click()
    expect(dialog.locator("#run-plan")).to_contain_text("day_2026-01-02.csv")
    expect(dialog.locator("#run-plan")).not_to_contain_text("day_2026-01-01.csv")
    assert not serious_faults(page)
    dialog.get_by_role("button", name="Start").click()
    expect(page.locator("#backfill .head .state")).to_have_text("done")
    page.get_by_role("link", name="2 Jan 2026", exact=True).click()
    expect(page.locator("#run")).to_contain_text("snapshot 1")


def test_types_are_tried_before_they_are_kept(open_page: Open, signed_in: Path, project: Client) -> None:
    page = open_page(signed_in, refused=(422,))
    page.goto("/p/past/sources/day-drop/")
    page.get_by_role("link", name="odd", exact=True).click()
    page.get_by_label("Type of amount").fill("DOUBLE")
    page.get_by_role("button", name="Try it").click()
    tried = page.locator("#tried")
    expect(tried).to_contain_text("1 row would be set aside, 2 would arrive.")
    expect(tried.get_by_role("region")).to_contain_text("2,n/a")
    assert not serious_faults(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("Nothing is saved yet.")
    expect(page.get_by_label("Type of amount")).to_have_value("DOUBLE")
    page.get_by_label("Type of amount").fill("VARCHAR")
    page.get_by_label("Type of id").fill("INTEGER")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved. Runs that start from now on read it so.")).to_be_visible()
    columns = project.in_project("GET", "sources/day-drop/streams/odd/")["columns"]
    assert [each["type"] for each in columns] == ["INTEGER", "VARCHAR"]


def test_a_schedule_is_the_same_in_the_form_and_in_the_document(
    open_page: Open, signed_in: Path, project: Client
) -> None:
    page = open_page(signed_in)
    page.goto("/p/past/pipelines/days/schedule/")
    page.get_by_label("Starts").select_option("monthly")
    page.get_by_label("On day").fill("last")
    page.get_by_label("Not on holidays of").fill("DE-BY")
    expect(page.get_by_label("Of those, at most")).to_be_hidden()
    page.get_by_label("What was missed").select_option("all")
    page.get_by_label("Of those, at most").fill("3")
    page.get_by_role("button", name="Save into the draft").click()
    expect(page.locator("#schedule")).to_contain_text("It counts once that is published.")
    page.goto("/p/past/pipelines/days/edit/")
    editor = page.get_by_role("textbox", name="Document")
    expect(editor).to_have_value(re.compile("schedule:.*holidays.*DE-BY", re.DOTALL))
    text = editor.input_value()
    assert text.startswith(DAYS.rstrip())
    editor.fill(text.replace("DE-BY", "US"))
    expect(page.locator("#problems")).to_contain_text("valid")
    page.get_by_role("button", name="Save the draft").click()
    expect(page.get_by_text("The draft is saved.")).to_be_visible()
    page.goto("/p/past/pipelines/days/schedule/")
    expect(page.get_by_label("Not on holidays of")).to_have_value("US")
    expect(page.get_by_label("On day")).to_have_value("last")
    expect(page.get_by_label("Of those, at most")).to_have_value("3")


def test_a_retry_takes_what_stands(open_page: Open, signed_in: Path, project: Client) -> None:
    run = project.in_project("POST", "pipelines/strict/runs/", json={})
    assert project.wait(run["id"], seconds=PATIENCE / 1000)["state"] == "failed"
    page = open_page(signed_in)
    page.goto(f"/p/past/runs/{run['id']}/")
    expect(page.locator(".callout.bad")).to_contain_text("row_count")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("link", name="repeats an earlier run")).to_be_visible()
    expect(page.locator("#step-odd .state")).to_have_text("reused")
    expect(page.locator("#run .head .state").first).to_have_text("failed")
    page.get_by_label("Level").select_option("error")
    expect(page.locator("#log .log .info")).to_have_count(0)
    download = page.locator("#log").get_by_role("link", name="Download")
    expect(download).to_have_attribute("href", re.compile("level=error"))
    with page.expect_download() as saving:
        download.click()
    lines = saving.value.path().read_text().splitlines()
    assert lines
    assert all(each.split()[1] == "error" for each in lines)


def test_a_run_waits_behind_another_or_is_skipped(open_page: Open, signed_in: Path, project: Client) -> None:
    first = project.in_project("POST", "pipelines/asks/runs/", json={})["id"]
    page = open_page(signed_in)
    page.goto(f"/p/past/runs/{first}/")
    state = page.locator("#run .head .state").first
    expect(state).to_have_text("waiting")
    page.goto("/p/past/pipelines/asks/")
    page.get_by_role("button", name="Choose how to run").click()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/runs/*/")
    second = page.url
    expect(state).to_have_text("pending")
    expect(page.locator("#run .callout")).to_contain_text("another run of this pipeline has not ended")
    page.goto("/p/past/pipelines/asks/")
    page.get_by_role("button", name="Choose how to run").click()
    page.get_by_label("Skip this one").check()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/runs/*/")
    expect(state).to_have_text("skipped")
    project.in_project("POST", f"runs/{first}/decide/", json={"answer": "stop"})
    page.goto(second)
    expect(state).to_have_text("waiting")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(state).to_have_text("cancelled")


def test_the_audit_log_is_narrowed_compared_and_exported(open_page: Open, signed_in: Path, project: Client) -> None:
    project.in_project("PATCH", "sources/day-drop/", json={"title": "Days of the shop"})
    page = open_page(signed_in)
    page.goto("/p/past/audit/")
    page.get_by_label("What happened").select_option("source changed")
    page.wait_for_url("**verb=source+changed**")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="source changed").click()
    title = page.locator(".diff dd").filter(has_text="Days of the shop")
    expect(title.locator("del")).to_have_text("Days")
    expect(title.locator("ins")).to_have_text("Days of the shop")
    assert not serious_faults(page)
    page.go_back()
    with page.expect_download() as saving:
        page.get_by_role("link", name="CSV").click()
    assert saving.value.path().read_text().count("source changed") == 1
