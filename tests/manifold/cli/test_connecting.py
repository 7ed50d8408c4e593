"""`manifold sources connect`, `show` and `templates`: as somebody sees them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.dataplane.connectors.rest.api import Api, serving_orders
from tests.dataplane.connectors.rest.reading import WAYS
from tests.oauth_server import SECRET, Authority, authority_on
from tests.served import Served

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(settings: Any) -> Iterator[Api]:
    settings.NET_ALLOW = ["127.0.0.0/8"]
    with serving_orders() as served:
        yield served


@pytest.fixture
def authority(shop: Api) -> Iterator[Authority]:
    with authority_on(shop.web) as served:
        shop.admits = served.admits
        yield served


def added(served: Served, slug: str, shop: Api, params: dict[str, Any]) -> str:
    """What is said once a source is added; its secret is read from a terminal."""
    told = {"base_url": shop.base, "streams": f'["{WAYS["page"]}"]', "records": "data.orders", **params}
    told.pop("client_secret")
    words = [word for name, value in told.items() for word in ("--set", f"{name}={value}")]
    result = served.manifold(
        "sources", "add", slug, "--connector", "rest", *words, "--secret", "client_secret", given=f"{SECRET}\n"
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_source_is_connected_by_a_code_to_enter(served: Served, shop: Api, authority: Authority) -> None:
    said = added(served, "with-code", shop, authority.params("device_code"))
    assert "with-code: added; connect it now: `manifold sources connect with-code`" in said
    assert "no: `manifold sources connect`" in served.manifold("sources", "show", "with-code").stdout
    authority.enters = ""
    said = served.manifold("sources", "connect", "with-code").stdout
    assert "enter WDJB-MJHT" in said and "with-code: connected" in said
    said = served.manifold("sources", "show", "with-code").stdout
    assert "by ada" in said and "it is taken back there" in said and SECRET not in said
    authority.forget_all()
    assert served.manifold("sources", "test", "with-code").exit_code == 1
    said = served.manifold("sources", "show", "with-code").stdout
    assert "Connect it again" in said and "it is taken back there" not in said and "renews before" not in said
    assert "not connected any more" in served.manifold("sources", "connect", "with-code", "--forget").stdout


def test_where_somebody_consents_is_printed(served: Served, shop: Api, authority: Authority) -> None:
    added(served, "by-browser", shop, authority.params())
    said = served.manifold("sources", "connect", "by-browser").stdout
    assert authority.web.url("/authorize?prompt=consent&response_type=code") in said
    assert f"{served.url}/oauth/callback" in said


def test_a_template_tells_most_of_it(served: Served, shop: Api) -> None:
    said = served.manifold("sources", "templates").stdout
    assert "manifold sources add NAME --template github --set owner=octocat --set repository=hello-world" in said
    refused = served.manifold("sources", "add", "of-json", "--template", "gitlab")
    assert refused.exit_code == 2 and "choose one of github" in refused.stderr
    words = ["--set", f"base_url={shop.base}", "--set", "records=data.orders", "--set", "path=page"]
    result = served.manifold("sources", "add", "of-json", "--template", "json-api", *words)
    assert result.exit_code == 2 and "Say it, such as api.example.org" in result.stderr
    result = served.manifold("sources", "add", "of-json", "--template", "json-api", *words, "--set", "host=unused")
    assert result.exit_code == 0 and "records" in result.stdout
