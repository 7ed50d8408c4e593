"""What the services of sources promise, beyond what their endpoints show."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from apps.sources import services
from apps.sources.models import Credential, Health, Source, SourceFile, Stream
from apps.sources.parameters import InvalidFields, checked
from dataplane.connectors import registry
from dataplane.connectors.local_files import LocalFiles
from dataplane.connectors.postgresql import PostgreSQL
from dataplane.connectors.schema import StreamInfo
from dataplane.connectors.windows import FileRef


def test_a_binding_carries_the_opened_secrets_and_the_declaration(source: Source, params: dict[str, Any]) -> None:
    services.discover_streams(source, actor=SYSTEM)
    stream = Stream.objects.get(source=source, name="public.flights")
    services.update_stream(stream, config={"cursor": "id", "lookback": 5}, actor=SYSTEM)
    connector, config = services.binding(Stream.objects.get(pk=stream.pk))
    assert isinstance(connector, PostgreSQL)
    assert connector.params.password == params["password"]
    assert (config.name, config.cursor, config.lookback) == ("public.flights", "id", 5.0)
    assert [each.type for each in config.columns] == ["BIGINT", "DECIMAL(10,2)", "TIMESTAMP WITH TIME ZONE"]


def test_secrets_are_in_no_column_in_clear(source: Source, params: dict[str, Any]) -> None:
    source.refresh_from_db()
    assert "password" not in source.params
    assert source.credential is not None
    assert params["password"] not in str(source.credential.secrets)


def test_a_changed_parameter_keeps_the_others_and_asks_for_a_new_test(source: Source, params: dict[str, Any]) -> None:
    services.test_source(source, actor=SYSTEM)
    changed = services.update_source(source, params={"sslmode": "disable"}, actor=SYSTEM)
    assert (changed.params["sslmode"], changed.params["host"]) == ("disable", params["host"])
    assert services.opened(changed.credential) == {"password": params["password"]}
    assert changed.health == Health.UNKNOWN
    removed = services.update_source(source, params={"password": None}, actor=SYSTEM)
    assert services.opened(removed.credential) == {}


def test_rediscovery_keeps_what_was_declared_and_follows_the_source(source: Source, postgres_url: str) -> None:
    services.discover_streams(source, actor=SYSTEM)
    stream = Stream.objects.get(source=source, name="public.flights")
    columns = [{**each, "type": "VARCHAR"} if each["name"] == "fare" else each for each in stream.config["columns"]]
    services.update_stream(stream, config={"columns": columns, "cursor": "id", "row_filter": "id > 0"}, actor=SYSTEM)
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("ALTER TABLE flights ADD tail text; ALTER TABLE flights DROP at")
    services.discover_streams(source, actor=SYSTEM)
    stream.refresh_from_db()
    assert {each["name"]: each["type"] for each in stream.config["columns"]} == {
        "id": "BIGINT",
        "fare": "VARCHAR",
        "tail": "VARCHAR",
    }
    assert (stream.config["cursor"], stream.config["row_filter"]) == ("id", "id > 0")
    assert [each.number for each in stream.schema_versions.all()] == [3, 2, 1]
    services.discover_streams(source, actor=SYSTEM)
    assert stream.schema_versions.count() == 3


def test_only_the_named_streams_are_kept(source: Source) -> None:
    kept = services.discover_streams(source, names=["public.airlines"], actor=SYSTEM)
    assert [each.name for each in kept] == ["public.airlines"]
    assert Stream.objects.filter(source=source).count() == 1


def test_a_source_that_is_read_is_not_removed(source: Source) -> None:
    with pytest.raises(Conflict, match="used by weather"):
        services.delete_source(source, actor=SYSTEM, used_by=["weather"])
    services.delete_source(source, actor=SYSTEM, used_by=[])
    assert not Source.objects.exists() and not Credential.objects.exists()


def test_a_shared_credential_outlives_one_source(project: Project, params: dict[str, Any]) -> None:
    secret = {"password": params.pop("password")}
    shared = services.create_credential(project, slug="shared", connector="postgresql", secrets=secret, actor=SYSTEM)
    both = [
        services.create_source(
            project, slug=slug, title="", connector="postgresql", params=params, credential=shared, actor=SYSTEM
        )
        for slug in ("one", "two")
    ]
    assert all(services.test_source(each, actor=SYSTEM).ok for each in both)
    services.delete_source(both[0], actor=SYSTEM, used_by=[])
    with pytest.raises(Conflict, match="used by two"):
        services.delete_credential(shared, actor=SYSTEM)
    services.delete_source(both[1], actor=SYSTEM, used_by=[])
    assert not Credential.objects.exists()


def test_every_write_names_its_actor_and_no_secret(source: Source, params: dict[str, Any]) -> None:
    services.test_source(source, actor=SYSTEM)
    services.discover_streams(source, actor=SYSTEM)
    events = list(Event.objects.exclude(object_type__in=["project", "membership", "user"]))
    verbs = {each.verb for each in events}
    assert {"source created", "credential created", "source tested", "source discovered", "stream created"} <= verbs
    assert {each.actor_name for each in events} == {SYSTEM.name}
    assert params["password"] not in str([(each.before, each.after, each.data) for each in events])


@pytest.mark.django_db
def test_files_are_kept_as_they_were_seen(project: Project, tmp_path: Any) -> None:
    stream = _file_stream(project)
    first = [FileRef(f"f{n:05d}.csv", n, "2013-02-01T00:00:00+00:00", "2013-01-31") for n in range(6000)]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        services.record_files(stream, first)
    assert len(queries) <= 6
    services.ignore_file(SourceFile.objects.get(path="f00007.csv"), ignored=True, actor=SYSTEM)
    services.record_files(stream, [FileRef("f00000.csv", 99, "2013-03-01T00:00:00Z"), *first[1:5999]])
    grown = SourceFile.objects.get(stream=stream, path="f00000.csv")
    assert (grown.size, grown.modified, grown.file_date) == (99, datetime(2013, 3, 1, tzinfo=UTC), None)
    assert [each.path for each in SourceFile.objects.exclude(gone_at=None)] == ["f05999.csv"]
    assert SourceFile.objects.get(path="f00007.csv").ignored
    services.record_files(stream, first)
    assert not SourceFile.objects.exclude(gone_at=None).exists()
    services.record_read(stream, [{"path": "f00000.csv", "digest": "ab" * 32}, {"path": "f00001.csv", "digest": ""}])
    assert SourceFile.objects.exclude(digest="").get().path == "f00000.csv"


def test_files_of_an_hour_are_kept_with_their_day(project: Project) -> None:
    stream = _file_stream(project)
    services.record_files(stream, [FileRef("a.csv", 1, "2013-02-01T00:00:00Z", "2013-01-31T05:00")])
    assert str(SourceFile.objects.get(stream=stream).file_date) == "2013-01-31"


def test_an_empty_listing_says_nothing(project: Project) -> None:
    stream = _file_stream(project)
    services.record_files(stream, [FileRef("a.csv", 1, "2013-02-01T00:00:00Z")])
    services.record_files(stream, [])
    assert SourceFile.objects.get(stream=stream).gone_at is None


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"cursor": "nope"}, "cursor"),
        ({"select": ["nope"]}, "select"),
        ({"cursor": "id", "select": ["fare"]}, "select"),
        ({"lookback": -1}, "lookback"),
        ({"columns": [{"name": "id", "type": "NONSENSE"}]}, "columns.0.type"),
        ({"columns": [{"name": "id", "type": "INT"}, {"name": "id", "type": "INT"}]}, "columns.1.name"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_by_field(source: Source, config: dict[str, Any], field: str) -> None:
    services.discover_streams(source, actor=SYSTEM)
    stream = Stream.objects.get(source=source, name="public.flights")
    with pytest.raises(InvalidFields) as caught:
        services.update_stream(stream, config=config, actor=SYSTEM)
    assert list(caught.value.fields) == [field]


def test_a_list_is_asked_for_in_words() -> None:
    with pytest.raises(InvalidFields) as caught:
        checked(registry.get("kafka"), {"servers": "broker:9092"})
    assert caught.value.fields == {
        "servers": ['Give a list, even of one: ["first", "second"], on a command line also first,second.']
    }


@pytest.fixture
def drop(project: Project, tmp_path: Path, settings: Any) -> Source:
    """A source of the files in `tmp_path`."""
    settings.FILE_ROOTS = [tmp_path]
    return Source.objects.create(
        project=project, slug="drop", title="Drop", connector="local_files", params={"path": str(tmp_path)}
    )


@pytest.mark.django_db
def test_a_file_that_is_damaged_takes_no_declaration_away(drop: Source, tmp_path: Path) -> None:
    file = tmp_path / "fares.csv"
    file.write_text("id,fare\n1,2.50\n")
    (stream,) = services.discover_streams(drop, actor=SYSTEM)
    services.update_stream(stream, config={"select": ["fare"]}, actor=SYSTEM)
    file.write_bytes(b"")
    (stream,) = services.discover_streams(drop, actor=SYSTEM)
    assert [each["name"] for each in stream.config["columns"]] == ["id", "fare"]
    assert stream.config["select"] == ["fare"]


@pytest.mark.django_db
def test_files_that_look_otherwise_now_are_read_as_declared(drop: Source, tmp_path: Path) -> None:
    file = tmp_path / "fares.csv"
    file.write_text("id,fare\n1,2.50\n")
    (stream,) = services.discover_streams(drop, actor=SYSTEM)
    before = stream.config
    file.write_text("7;2.50\n8;3.50\n")
    (stream,) = services.discover_streams(drop, actor=SYSTEM)
    assert stream.config == before and not stream.drifts.exists()
    (told,) = stream.warnings
    assert told.startswith('The files look like `delimiter` ";", `header` false now; they are still read as')
    services.update_stream(stream, config={"settings": {"header": False, "delimiter": ";"}}, actor=SYSTEM)
    (stream,) = services.discover_streams(drop, actor=SYSTEM)
    assert [each["name"] for each in stream.config["columns"]] == ["column0", "column1"]


@pytest.mark.django_db
def test_streams_are_looked_into_no_longer_than_a_look_may_take(
    drop: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fares", "taxes"):
        (tmp_path / f"{name}.csv").write_text("id,fare\n1,2.50\n")
    for stream in services.discover_streams(drop, actor=SYSTEM):
        services.update_stream(stream, config={"settings": {"null_values": ["NA"]}}, actor=SYSTEM)
        (tmp_path / f"{stream.name}.csv").write_text("id,fare,tail\n1,2.50,x\n")
    before = [each.config for each in drop.streams.order_by("name")]
    with monkeypatch.context() as hurried:
        hurried.setattr(LocalFiles, "patience", -1.0)
        kept = services.discover_streams(drop, actor=SYSTEM)
        assert [each.config for each in kept] == before
        assert all("not looked at" in warning for each in kept for (warning,) in [each.warnings])
        (fares,) = services.discover_streams(drop, actor=SYSTEM, names=["fares"])
    assert [each["name"] for each in fares.config["columns"]] == ["id", "fare", "tail"] and not fares.warnings
    assert fares.config["settings"]["null_values"] == ["NA"]


@pytest.mark.django_db
def test_settings_that_somebody_declares_during_a_look_stay(
    drop: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fares", "taxes"):
        (tmp_path / f"{name}.csv").write_text("id,fare\n1,2.50\n")
    (fares,) = services.discover_streams(drop, actor=SYSTEM, names=["fares"])
    services.update_stream(fares, config={"settings": {"null_values": ["NA"]}}, actor=SYSTEM)
    look = LocalFiles.looked_again
    declared = {"settings": {"null_values": ["-"]}, "columns": [{"name": "id", "type": "VARCHAR"}]}

    def interrupted(connector: LocalFiles, info: StreamInfo, given: Any) -> StreamInfo:
        seen = look(connector, info, given)
        services.discover_streams(drop, actor=SYSTEM, names=["taxes"])
        for each in drop.streams.all():
            services.update_stream(each, config=declared, actor=SYSTEM)
        return seen

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LocalFiles, "looked_again", interrupted)
        kept = services.discover_streams(drop, actor=SYSTEM)
    assert [each.config["settings"]["null_values"] for each in kept] == [["-"], ["-"]]
    assert [[column["name"] for column in each.config["columns"]] for each in kept] == [["id"], ["id"]]
    assert all("was changed while the source was looked at" in each.warnings[0] for each in kept)
    again = services.discover_streams(drop, actor=SYSTEM)
    assert [(len(each.config["columns"]), each.warnings) for each in again] == [(2, []), (2, [])]


@pytest.mark.django_db
def test_settings_that_somebody_declared_outlast_a_look(drop: Source, tmp_path: Path) -> None:
    (tmp_path / "fares.csv").write_text("id,fare\n1,NA\n2,3.50\n")
    (tmp_path / "more.txt").write_text("id,fare\n3,4.50\n")
    (stream, _) = services.discover_streams(drop, actor=SYSTEM, names=["fares", "more"])
    declared = {"pattern": ["fares.csv", "more.txt"], "format": "csv", "null_values": ["", "NA", "-"]}
    services.update_stream(stream, config={"settings": declared}, actor=SYSTEM)
    (tmp_path / "fares.csv").write_text("id,fare,tail\n1,2.50,x\n")
    (stream, _) = services.discover_streams(drop, actor=SYSTEM)
    assert {name: stream.config["settings"][name] for name in declared} == declared
    assert [each["name"] for each in stream.config["columns"]] == ["id", "fare", "tail"] and not stream.warnings
    (tmp_path / "more.txt").write_bytes("id,fare\nKöln,2.50\n".encode("latin-1"))
    (_, more) = services.discover_streams(drop, actor=SYSTEM)
    assert more.config["settings"]["encoding"] == "utf-8"
    assert more.warnings[0].startswith('The files look like `encoding` "cp1252" now')
    services.update_stream(more, config={"settings": {"skip": 9}}, actor=SYSTEM)
    (_, more) = services.discover_streams(drop, actor=SYSTEM)
    assert len(more.config["columns"]) == 2 and "Skip fewer" in more.warnings[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"skip": "three"}, "settings.skip"),
        ({"separator": ";"}, "settings.separator"),
        ({"cells": "?"}, "settings.cells"),
    ],
)
def test_settings_that_no_run_could_read_by_are_refused(project: Project, changes: dict[str, str], field: str) -> None:
    stream = _file_stream(project)
    services.update_stream(stream, config={"settings": {"pattern": ["*.csv"], "skip": 3}}, actor=SYSTEM)
    with pytest.raises(InvalidFields) as caught:
        services.update_stream(stream, config={"settings": changes}, actor=SYSTEM)
    ((place, (said,)),) = caught.value.fields.items()
    assert place == field
    assert ("there are pattern, format, encoding" in said) is ("separator" in changes)


def _file_stream(project: Project) -> Stream:
    source = Source.objects.create(project=project, slug="drop", title="Drop", connector="local_files")
    return Stream.objects.create(source=source, name="flights")
