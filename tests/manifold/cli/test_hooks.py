"""`manifold hooks`."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(served: Served) -> None:
    made = served.json("hooks", "add", "orders", "warehouse")
    assert made["secret"].startswith("whsec_")
    assert served.manifold("hooks", "add", "orders", "warehouse").exit_code == 1
    listed = served.manifold("hooks", "list", "orders").stdout
    assert f"{served.url}/hooks/{made['id']}" in listed
    assert made["secret"] not in listed
    place = ("orders", made["id"])
    another = served.manifold("hooks", "rotate", *place)
    assert "whsec_" in another.stdout
    assert "The old ones hold" in another.stdout
    (old, new) = served.client().in_project("GET", f"pipelines/orders/hooks/{made['id']}/")["secrets"]
    left = served.json("hooks", "rotate", *place, "--finish")
    assert [each["id"] for each in left["secrets"]] == [new["id"]] != [old["id"]]
    assert served.manifold("hooks", "rotate", *place, "--finish").stdout == "0 old secrets are removed; one is left.\n"
    assert served.manifold("hooks", "remove", *place).stdout == "removed\n"
    assert made["id"] not in served.manifold("hooks", "list", "orders").stdout
