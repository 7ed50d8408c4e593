"""Files that are given to a source: kept in the storage under names of our own, listed, removed."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

import xxhash
from django.conf import settings
from django.db import IntegrityError, transaction

from apps.audit.context import Actor, acting
from apps.audit.ids import new_id
from apps.audit.refusals import Conflict, Invalid
from apps.sources.models import Source, Upload
from apps.sources.services.judging import judge_again
from dataplane.connectors import registry
from dataplane.connectors.base import Uploaded
from dataplane.connectors.files.settings import ARCHIVE, SUFFIXES, format_of
from dataplane.engine import disk_error
from dataplane.errors import ConfigurationError
from dataplane.storage import Storage

_CHUNK = 1 << 20
_LONGEST = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What is no letter of a file's name anywhere: separators of folders and control characters.
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")


class Readable(Protocol):
    """What bytes are read from: a file, or the body of a request."""

    def read(self, size: int, /) -> bytes: ...


def keep_upload(source: Source, *, name: str, body: Readable, length: int | None, actor: Actor) -> Upload:
    """Keep a file under this name, read in pieces and never whole in memory.

    length: how many bytes were announced; None where nobody said. Raises Invalid for a name or a size that is refused,
    Conflict where the name is taken or the source takes no files.
    """
    _refuse(source, name, length)
    row = Upload(id=new_id(), source=source, name=name, uploaded_by=actor.name[:200])
    row.path = f"{_folder(source)}/{row.id}"
    storage = _storage()
    try:
        row.size, row.digest = _write(storage, row.path, body)
        if not row.size:
            raise Invalid("name", f"{name} is empty: not a byte of it arrived.", code="file_empty")
        if length is not None and row.size != length:
            raise ConfigurationError(
                f"The upload of {name} ended after {row.size:,} of {length:,} bytes. Send it again.",
                code="upload_cut_off",
                evidence={"file": name, "bytes": row.size, "announced": length},
            )
        with acting(actor):
            try:
                with transaction.atomic():
                    row.save(force_insert=True)
            except IntegrityError:
                raise _taken(name) from None
            judge_again(source.pk)
    except BaseException:
        storage.remove(row.path)
        raise
    return row


def remove_upload(upload: Upload, *, actor: Actor) -> None:
    """Remove a file from its source. The data that was read from it stays."""
    path = upload.path
    with acting(actor):
        # Locked before what belongs to it, as whoever removes the source does.
        Source.objects.select_for_update(no_key=True).filter(pk=upload.source_id).first()
        upload.delete()
        judge_again(upload.source_id)
        transaction.on_commit(lambda: _storage().remove(path))


def empty(source: Source) -> str:
    """Why a source is warned of that nobody has given a file. Empty where it has one, or takes none."""
    if not registry.get(source.connector).takes_uploads or Upload.objects.filter(source=source).exists():
        return ""
    return "Nothing is uploaded yet. Drop files on its page, or run `manifold sources upload`."


def forget_uploads(source: Source) -> None:
    """Let the files of a source go with it, when the caller's transaction is through."""
    folder = _folder(source)
    transaction.on_commit(lambda: _storage().remove(folder))


def uploaded(source: Source) -> list[Uploaded]:
    """The files of a source, as its connector wants to know them."""
    if not registry.get(source.connector).takes_uploads:
        return []
    storage = _storage()
    return [
        Uploaded(each.name, storage.absolute(each.path), each.size, _nanoseconds(each.uploaded_at))
        for each in Upload.objects.filter(source_id=source.pk)
    ]


def _refuse(source: Source, name: str, length: int | None) -> None:
    """Raises Invalid or Conflict before a byte is read."""
    if not registry.get(source.connector).takes_uploads:
        raise Conflict(
            f"The source {source.slug} takes no uploads. Add one of the kind `uploads`, and give it the files.",
            code="takes_no_uploads",
        )
    if not name.strip() or len(name) > _LONGEST or name.startswith(".") or _FORBIDDEN.search(name):
        raise Invalid("name", f"Give it a name of up to {_LONGEST} characters, without a folder, such as orders.csv.")
    if format_of(name) is None and not name.lower().endswith(ARCHIVE):
        known = ", ".join((*SUFFIXES, ARCHIVE))
        raise Invalid(
            "name",
            f"Nothing tells the format of {name}. Its name has to end in one of {known}; after it "
            "may stand .gz or .zst.",
        )
    if length is not None and length > settings.UPLOAD_SIZE:
        raise _too_large()
    if Upload.objects.filter(source=source, name=name).exists():
        raise _taken(name)


def _write(storage: Storage, path: str, body: Readable) -> tuple[int, str]:
    """Write the bytes to a new file and flush it; their number and their digest."""
    absolute = storage.absolute(path)
    size, digest = 0, xxhash.xxh3_128()
    try:
        os.makedirs(os.path.dirname(absolute), exist_ok=True)
        with open(absolute, "xb") as file:
            while chunk := _piece(body):
                size += len(chunk)
                if size > settings.UPLOAD_SIZE:
                    raise _too_large()
                digest.update(chunk)
                file.write(chunk)
        storage.flush(path)
    except OSError as error:
        raise disk_error(error) from error
    return size, digest.hexdigest()


def _piece(body: Readable) -> bytes:
    """The next bytes; none when whoever sends them has gone."""
    try:
        return body.read(_CHUNK)
    except OSError:
        return b""


def _folder(source: Source) -> str:
    return f"uploads/{source.pk}"


def _storage() -> Storage:
    return Storage(settings.STORAGE_URL)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _taken(name: str) -> Conflict:
    return Conflict(
        f"The source has a file {name} already. Give this one another name, or remove the other first.",
        code="name_taken",
    )


def _too_large() -> Invalid:
    return Invalid(
        "name",
        f"A file may have {settings.UPLOAD_SIZE:,} bytes at most. Compress or split it, or raise MANIFOLD_UPLOAD_SIZE.",
        code="file_too_large",
    )
