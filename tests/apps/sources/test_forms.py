"""The form of a connector's parameters: what has lines, such as a key or a certificate in PEM, keeps them."""

from __future__ import annotations

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string

from apps.sources.pages import file_settings, forms
from dataplane.connectors import registry
from dataplane.connectors.files.settings import FileSettings

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
    page = render_to_string("sources/parts/entries.html", {"entries": forms.entries(connector.Params)})
    assert f'<textarea class="area mono" id="param-{name}"' in page
    data = QueryDict(mutable=True)
    data[f"param-{name}"] = PEM.replace("\n", "\r\n")
    assert forms.entered(connector.Params, data)[name] == PEM


def test_a_secret_of_several_lines_is_never_filled_in_and_may_be_left_as_it_is() -> None:
    shown = forms.entries(registry.get("sftp").Params, {"private_key": PEM}, kept=["private_key"])
    page = render_to_string("sources/parts/entries.html", {"entries": shown})
    assert "MIIBszCC" not in page
    assert page.count('placeholder="stored; leave empty to keep it"') == 1, "of three secrets one is stored"
    assert "private_key" not in forms.entered(registry.get("sftp").Params, QueryDict("param-private_key="))


SNIFFED = {
    "pattern": ["*.csv"],
    "format": "csv",
    "delimiter": "\t",
    "null_values": ["", "NA"],
    "header": True,
    "skip": 0,
}


def shown(settings: dict[str, object]) -> dict[str, str]:
    """What a browser sends of the form as it is filled."""
    fields = {each.name: each.value for each in file_settings.entries(settings)}
    return {
        f"param-{name}": "on" if value is True else str(value) for name, value in fields.items() if value is not False
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {}),
        ({"null_values": "NA\r\n-"}, {"null_values": ["", "NA", "-"]}),
        ({"date_format": "%d.%m.%Y"}, {"date_format": "%d.%m.%Y"}),
        ({"delimiter": ";", "skip": "3"}, {"delimiter": ";", "skip": 3}),
        ({"settle_seconds": "1.5", "decimal_separator": ","}, {"settle_seconds": 1.5, "decimal_separator": ","}),
        ({"header": ""}, {"header": False}),
        ({"encoding": " "}, {"encoding": "utf-8"}),
        ({"quote": "", "escape": ""}, {"quote": None, "escape": None}),
        ({"null_values": "NA\r\n1,5"}, {"null_values": ["", "NA", "1,5"]}),
        ({"null_values": "NA\r\n \r\n -\r\n"}, {"null_values": ["", "NA", " ", "-"]}),
        ({"delimiter": ""}, {"delimiter": None}),
    ],
    ids=[
        "no",
        "nothings",
        "dates",
        "delimiter",
        "settling",
        "header",
        "emptied",
        "none",
        "comma",
        "blanks",
        "untabbed",
    ],
)
def test_what_was_changed_of_how_files_are_read(changes: dict[str, str], told: dict[str, object]) -> None:
    data = {**shown(SNIFFED), **{f"param-{name}": text for name, text in changes.items()}}
    assert file_settings.entered(SNIFFED, data) == told


def test_a_delimiter_that_nobody_sees_is_entered_and_shown_by_its_name() -> None:
    assert shown(SNIFFED)["param-delimiter"] == "tab"
    entered = file_settings.entered(SNIFFED, {**shown(SNIFFED), "param-delimiter": "Space"})
    settings = FileSettings.model_validate({**SNIFFED, **entered})
    assert settings.separator == " "
    assert shown(settings.model_dump())["param-delimiter"] == "space"


@pytest.mark.parametrize(
    ("settings", "some", "none"),
    [
        ({"pattern": ["a.tsv.gz"]}, {"delimiter", "quote", "header"}, {"sheet", "records", "pattern"}),
        ({"pattern": ["*"], "format": "excel"}, {"sheet", "cells", "header"}, {"encoding", "delimiter"}),
        ({"pattern": ["*"], "format": "xml"}, {"records", "repeated", "null_values"}, {"header", "positions"}),
        ({"pattern": ["*"], "format": "parquet"}, {"format", "settle_seconds"}, {"encoding", "header"}),
    ],
    ids=["tsv", "excel", "xml", "parquet"],
)
def test_what_is_asked_depends_on_the_format(settings: dict[str, object], some: set[str], none: set[str]) -> None:
    names = {each.name for each in file_settings.entries(settings)}
    assert some <= names and not none & names
