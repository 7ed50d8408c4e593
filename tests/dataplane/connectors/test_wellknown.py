"""Each template makes parameters that its connector takes, and says in the docs where its token comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors import registry, wellknown
from dataplane.connectors.fields import secret_names
from dataplane.errors import ConfigurationError

SECRETS = {"bearer": "token", "api_key": "token", "basic": "password", "none": ""}
KEYS = ["github", "hubspot", "json-api", "shopify", "slack", "stripe", "zendesk"]


def asked(key: str) -> dict[str, Any]:
    """What somebody says who takes the examples."""
    chosen = wellknown.template(key)
    secret = SECRETS[chosen.params.get("auth", "none")]
    return {**{name: each.example for name, each in chosen.asks.items()}, **({secret: "s3cret"} if secret else {})}


def test_the_templates_are_these() -> None:
    assert sorted(wellknown.templates()) == KEYS


@pytest.mark.parametrize("key", KEYS)
def test_a_template_fits_its_connector(key: str) -> None:
    chosen = wellknown.template(key)
    kind = registry.get(chosen.connector)
    params = wellknown.filled(chosen, asked(key))
    assert "{" not in str(params["base_url"]) + "".join(params["streams"])
    registry.build(chosen.connector, params)
    assert not secret_names(kind.Params) & set(chosen.params), "a template holds no secret"
    assert all(f"{{{name}}}" in str(chosen.params) for name in chosen.asks), "what is asked for is used"
    assert chosen.documentation.startswith("https://") and chosen.access.endswith(".")


@pytest.mark.parametrize("key", KEYS)
def test_a_template_is_in_the_docs(key: str) -> None:
    row = f"| `{key}` |"
    assert row in Path("docs/sources.md").read_text()


@pytest.mark.parametrize("said", ["", "a b", "evil.example.org/?", "../..", "x@y.example.org:80", "a//b", "-", "ä"])
def test_what_cannot_stand_in_an_address_is_refused(said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        wellknown.filled(wellknown.template("shopify"), {"shop": said, "version": "2025-07"})
    assert caught.value.code == "template_asks" and caught.value.evidence["errors"][0]["field"] == "shop"


def test_what_somebody_says_goes_before_the_template() -> None:
    params = wellknown.filled(wellknown.template("stripe"), {"page_size": 10, "token": "t"})
    assert (params["page_size"], params["token"], params["pagination"]) == (10, "t", "last")


def test_one_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigurationError, match="github, "):
        wellknown.template("gitlab")
