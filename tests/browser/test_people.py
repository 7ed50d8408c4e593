"""Somebody is invited, joins, makes a token and revokes it, changes the password; and the log is verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.browser.installation import Installation
from tests.people import PASSWORD

pytestmark = pytest.mark.all


def test_from_an_invitation_to_a_revoked_token(open_page: Open, installation: Installation, signed_in: Path) -> None:
    admin = open_page(signed_in)
    admin.goto("/p/default/members/")
    admin.get_by_label("For", exact=True).fill("Nina")
    admin.get_by_role("button", name="Make the link").click()
    link = admin.locator("#invitation-link").inner_text()

    nina = open_page(width=390)
    nina.goto(link)
    nina.get_by_label("User name").fill("nina")
    nina.get_by_label("Password").fill(PASSWORD)
    nina.get_by_role("button", name="Make the account and join").click()
    nina.wait_for_url("**/p/default/")
    nina.get_by_text("Welcome to Default").wait_for()

    nina.goto("/tokens/")
    nina.get_by_label("Name").fill("nightly")
    nina.get_by_role("button", name="Make the token").click()
    assert nina.locator("#token-text").inner_text().startswith("mf_")
    nina.on("dialog", lambda dialog: dialog.accept())
    nina.get_by_role("button", name="Revoke").click()
    nina.get_by_text("no longer opens anything").wait_for()
    nina.locator(".state", has_text="revoked").wait_for()

    nina.goto("/account/")
    nina.get_by_label("The one you have").fill(PASSWORD)
    nina.get_by_label("A new one", exact=True).fill(PASSWORD + "-new")
    nina.get_by_label("The new one again").fill(PASSWORD + "-new")
    nina.get_by_role("button", name="Change the password").click()
    nina.get_by_text("The password is changed").wait_for()

    admin.goto("/p/default/members/")
    admin.get_by_label("Role of nina").select_option("operator")
    admin.get_by_text("nina is Operator now").wait_for()


def test_the_log_is_verified(open_page: Open, signed_in: Path) -> None:
    page = open_page(signed_in)
    page.goto("/platform/audit/verify/")
    page.get_by_role("button", name="Verify").click()
    page.get_by_text("The log is whole.").wait_for()
