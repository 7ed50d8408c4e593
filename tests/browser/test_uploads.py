"""Files are dropped or chosen on a source's page: kept, refused with the reason, removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.axe import serious_faults
from tests.browser.conftest import Open
from tests.browser.installation import ORDERS, Installation

pytestmark = pytest.mark.all


def test_files_are_uploaded_refused_and_removed(
    installation: Installation, signed_in: Path, open_page: Open, tmp_path: Path
) -> None:
    (tmp_path / "orders_2026-01.csv").write_text(ORDERS)
    (tmp_path / "notes.docx").write_text("no data")
    page = open_page(signed_in, refused=(400, 409))
    page.goto("/p/default/new-source/uploads/")
    page.get_by_label("Title").fill("Given files")
    page.get_by_role("button", name="Save, then upload").click()
    page.wait_for_url("**/sources/given-files/")
    chooser = page.locator("#upload input[type=file]")
    with page.expect_navigation():
        chooser.set_input_files(tmp_path / "orders_2026-01.csv")
    expect(page.get_by_role("cell", name="orders_2026-01.csv")).to_be_visible()
    chooser.set_input_files([tmp_path / "orders_2026-01.csv", tmp_path / "notes.docx"])
    expect(page.get_by_text("The source has a file orders_2026-01.csv already.")).to_be_visible()
    expect(page.get_by_text("Nothing tells the format of notes.docx.")).to_be_visible()
    assert serious_faults(page) == []
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("orders_2026-01.csv is removed.")).to_be_visible()
    assert installation.client().page("sources/given-files/uploads/", 10)["results"] == []
