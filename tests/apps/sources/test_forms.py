"""The form of a connector's parameters: what has lines, such as a key or a certificate in PEM, keeps them."""

from __future__ import annotations

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string

from apps.sources.pages import forms
from dataplane.connectors import registry

PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCC\nAVmgAwIB\n-----END CERTIFICATE-----"
WITH_LINES = (
    ("sftp", "private_key"),
    ("snowflake", "private_key"),
    ("nats_jetstream", "credentials"),
    ("nats_jetstream", "certificate"),
    ("kafka", "certificate"),
    ("redis_streams", "certificate"),
)


@pytest.mark.parametrize(("key", "name"), WITH_LINES)
def test_what_has_lines_is_pasted_whole_and_comes_back_so(key: str, name: str) -> None:
    connector = registry.get(key)
    page = render_to_string("sources/parts/entries.html", {"entries": forms.entries(connector)})
    assert f'<textarea class="area mono" id="param-{name}"' in page
    data = QueryDict(mutable=True)
    data[f"param-{name}"] = PEM.replace("\n", "\r\n")
    assert forms.entered(connector, data)[name] == PEM


def test_a_secret_of_several_lines_is_never_filled_in_and_may_be_left_as_it_is() -> None:
    shown = forms.entries(registry.get("sftp"), {"private_key": PEM}, kept=True)
    page = render_to_string("sources/parts/entries.html", {"entries": shown})
    assert "MIIBszCC" not in page
    assert page.count('placeholder="stored; leave empty to keep it"') == 3
    assert "private_key" not in forms.entered(registry.get("sftp"), QueryDict("param-private_key="))
