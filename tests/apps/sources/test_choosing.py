"""The page on which the streams of a folder are chosen, when there are too many to look at in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Source, Stream
from dataplane.connectors.files.connector import FileConnector

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(project: Project, tmp_path: Path, settings: Any) -> None:
    settings.FILE_ROOTS = [tmp_path]
    for name in ("airlines", "airports"):
        (tmp_path / f"{name}.csv").write_text("code,name\nJFK,Kennedy\n")
    services.create_source(
        project, slug="drop", title="", connector="local_files", params={"path": str(tmp_path)}, actor=SYSTEM
    )


@pytest.mark.usefixtures("folder")
def test_a_stream_that_was_not_looked_at_is_looked_at_when_it_is_chosen(
    client: Client, admin: User, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileConnector, "patience", -1.0)
    client.force_login(admin)
    address = f"/p/{project.slug}/sources/drop/choose/"
    offered = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert offered.count("2 columns") == 1 and offered.count("columns not known yet") == 1
    assert offered.count("too many streams to look at in one go") == 1
    client.post(address, {"stream": ["airports"]})
    stream = Stream.objects.get(source__slug="drop")
    assert [each["name"] for each in stream.config["columns"]] == ["code", "name"]


@pytest.mark.usefixtures("folder")
def test_a_source_shows_its_streams_by_name(client: Client, admin: User, project: Project, tmp_path: Path) -> None:
    for name in "hgfedcba":
        (tmp_path / f"{name}.csv").write_text("code\nJFK\n")
    services.discover_streams(source=Source.objects.get(slug="drop"), actor=SYSTEM)
    client.force_login(admin)
    shown = client.get(f"/p/{project.slug}/sources/drop/").context["streams"]
    assert [each.name for each in shown] == ["a", "airlines", "airports", "b", "c", "d", "e", "f", "g", "h"]
