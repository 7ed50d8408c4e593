"""Files that are given to a source: kept, listed, read and removed; what is refused, and what is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import xxhash
from django.db import connection
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM, acting
from apps.audit.models import Event
from apps.audit.refusals import Invalid
from apps.sources import services
from apps.sources.models import Source, Upload
from dataplane.errors import ConfigurationError
from tests.apps.sources.test_grants import wait_until_blocked
from tests.people import Api

ADDRESS = "/api/v1/projects/flights/sources/given/uploads/"
BODY = b"id,name\n1,ann\n2,ben\n"


@pytest.fixture
def storage(settings: Any, tmp_path: Path) -> Path:
    settings.STORAGE_URL = tmp_path.as_uri()
    return tmp_path


@pytest.fixture
def given(project: Project, storage: Path) -> Source:
    return services.create_source(project, slug="given", title="", connector="uploads", params={}, actor=SYSTEM)


def put(client: Any, name: str, body: bytes = BODY, **headers: Any) -> Any:
    return client.put(f"{ADDRESS}{name}/", body, content_type="application/octet-stream", **headers)


def files(storage: Path) -> list[Path]:
    return [each for each in storage.rglob("*") if each.is_file()]


def test_it_works(operator: User, given: Source, storage: Path, api: Api) -> None:
    client = api(operator)
    answer = put(client, "people.csv")
    assert answer.status_code == 201, answer.json()
    assert answer.json()["size"] == len(BODY)
    assert answer.json()["digest"] == xxhash.xxh3_128_hexdigest(BODY)
    assert client.get(ADDRESS).json()["results"] == [answer.json()]
    assert client.get(f"{ADDRESS}people.csv/").json() == answer.json()
    (file,) = files(storage)
    assert file.read_bytes() == BODY
    assert "people" not in str(file.relative_to(storage))
    (stream,) = client.post("/api/v1/projects/flights/sources/given/discover/").json()["results"]
    assert stream["name"] == "people"
    shown = client.get("/api/v1/projects/flights/sources/given/streams/people/preview/").json()
    assert shown["rows"] == [[1, "ann"], [2, "ben"]]


def test_a_preview_tells_what_would_be_set_aside(operator: User, given: Source, storage: Path, api: Api) -> None:
    client = api(operator)
    put(client, "people.csv", BODY + b"3,<eve>,x\n")
    client.post("/api/v1/projects/flights/sources/given/discover/")
    shown = client.get("/api/v1/projects/flights/sources/given/streams/people/preview/").json()
    assert (shown["row_count"], shown["rejected"], shown["samples"][0]["row"]) == (2, 1, 4)
    stream = given.streams.get()
    browser = Client()
    browser.force_login(operator)
    page = browser.get(f"/p/flights/sources/given/streams/{stream.pk}/preview/").content.decode()
    assert "1 row of what was looked at would be set aside." in page
    assert "people.csv, line 4: too many columns" in page
    assert "&lt;eve&gt;" in page


def test_a_source_without_files_is_warned_of_until_one_comes(
    admin: User, given: Source, storage: Path, api: Api
) -> None:
    def health() -> tuple[str, str]:
        return Source.objects.values_list("health", "health_reason").get(pk=given.pk)

    assert services.test_source(given, actor=SYSTEM).ok
    assert health()[0] == "warning"
    assert health()[1].startswith("Nothing is uploaded yet. Drop files on its page")
    put(api(admin), "people.csv")
    assert health() == ("healthy", "")
    api(admin).delete(f"{ADDRESS}people.csv/")
    assert health()[0] == "warning"
    changes = Event.objects.filter(verb="source health changed").order_by("id").values_list("data__health", flat=True)
    assert list(changes) == ["warning", "healthy", "warning"]


def test_every_upload_and_removal_is_in_the_audit_log(
    admin: User,
    given: Source,
    storage: Path,
    api: Api,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    client = api(admin)
    put(client, "people.csv")
    with django_capture_on_commit_callbacks(execute=True):
        assert client.delete(f"{ADDRESS}people.csv/").status_code == 204
    events = Event.objects.filter(object_type="upload").order_by("id").values_list("verb", "object_name", "actor_name")
    assert list(events) == [
        ("upload created", "given@people.csv", "ada"),
        ("upload deleted", "given@people.csv", "ada"),
    ]
    assert files(storage) == []


def test_files_go_with_their_source(
    given: Source, storage: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    services.keep_upload(given, name="a.csv", body=BytesIO(BODY), length=None, actor=SYSTEM)
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_source(given, actor=SYSTEM, used_by=[])
    assert files(storage) == []


@pytest.mark.parametrize(
    "name", ["notes.docx", ".hidden.csv", "a%00b.csv", "..%5Ca.csv", "a%0Ab.csv", "%20", "x" * 200 + ".csv", "csv"]
)
def test_a_name_that_is_none_is_refused_with_the_reason(
    operator: User, given: Source, storage: Path, api: Api, name: str
) -> None:
    answer = put(api(operator), name)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "name"
    assert files(storage) == []


def test_a_name_that_is_taken_is_refused_and_the_first_file_stays(
    operator: User, given: Source, storage: Path, api: Api
) -> None:
    put(api(operator), "a.csv")
    answer = put(api(operator), "a.csv", b"id\n3\n")
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert [each.read_bytes() for each in files(storage)] == [BODY]


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    settings: Any, given: Source, storage: Path, announced: bool
) -> None:
    settings.UPLOAD_SIZE = 10
    with pytest.raises(Invalid) as caught:
        services.keep_upload(
            given, name="a.csv", body=BytesIO(BODY), length=len(BODY) if announced else None, actor=SYSTEM
        )
    assert caught.value.code == "file_too_large" and "MANIFOLD_UPLOAD_SIZE" in caught.value.message
    assert files(storage) == []


class Broken:
    """A body whose sender goes away after the first piece."""

    def __init__(self) -> None:
        self.pieces: Iterator[bytes] = iter([BODY])

    def read(self, size: int, /) -> bytes:
        for piece in self.pieces:
            return piece
        raise OSError("the client has gone")


@pytest.mark.parametrize("body", [BytesIO(BODY), Broken()])
def test_an_upload_that_breaks_off_leaves_nothing(given: Source, storage: Path, body: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        services.keep_upload(given, name="a.csv", body=body, length=len(BODY) + 1, actor=SYSTEM)
    assert caught.value.code == "upload_cut_off"
    assert files(storage) == [] and not Upload.objects.exists()


def test_an_empty_file_is_refused(operator: User, given: Source, api: Api) -> None:
    assert put(api(operator), "a.csv", b"").json()["code"] == "file_empty"


def test_a_source_of_another_kind_takes_no_file(operator: User, source: Source, api: Api) -> None:
    answer = api(operator).put(
        ADDRESS.replace("given", source.slug) + "a.csv/", BODY, content_type="application/octet-stream"
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "takes_no_uploads")


def test_an_upload_is_never_whole_in_memory(given: Source, storage: Path) -> None:
    class Endless:
        largest = 0
        left = 50 << 20

        def read(self, size: int, /) -> bytes:
            self.largest = max(self.largest, size)
            piece = b"x" * min(size, self.left)
            self.left -= len(piece)
            return piece

    body = Endless()
    kept = services.keep_upload(given, name="a.csv", body=body, length=50 << 20, actor=SYSTEM)
    assert (kept.size, body.largest) == (50 << 20, 1 << 20)


def test_the_page_of_a_source_lists_its_files_and_removes_them(
    admin: User, given: Source, storage: Path, client: Any
) -> None:
    services.keep_upload(given, name="people.csv", body=BytesIO(BODY), length=None, actor=SYSTEM)
    client.force_login(admin)
    page = client.get("/p/flights/sources/given/").content.decode()
    assert "people.csv" in page and 'id="upload"' in page
    assert client.post("/p/flights/sources/given/remove-upload/", {"name": "people.csv"}).status_code == 302
    assert not Upload.objects.exists()
    assert client.post("/p/flights/sources/given/remove-upload/", {"name": "people.csv"}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_whoever_removes_a_file_locks_the_source_first(given: Source) -> None:
    upload = services.keep_upload(given, name="people.csv", body=BytesIO(BODY), length=None, actor=SYSTEM)
    told: list[int] = []
    begun = threading.Event()

    def remove() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            told.append(cursor.fetchone()[0])
        begun.set()
        try:
            services.remove_upload(upload, actor=SYSTEM)
        finally:
            connection.close()

    remover = threading.Thread(target=remove)
    with acting(SYSTEM):
        Source.objects.select_for_update().get(pk=given.pk)
        remover.start()
        assert begun.wait(60)
        wait_until_blocked(told[0])
        assert Upload.objects.select_for_update(nowait=True).get() == upload
    remover.join(60)
    assert not Upload.objects.exists()
