"""Files that were seen: a catalogue of sight, hash and what is to be ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit.context import Actor, acting
from apps.audit.services import record
from apps.sources.models import SourceFile, Stream
from dataplane.connectors.windows import FileRef


def record_files(stream: Stream, listed: Iterable[FileRef], changed: Collection[str] = ()) -> None:
    """Keep which files there are now, in a few statements whatever their number; those that are gone are marked.

    changed: those that are not as they were read; what is known of their content is forgotten. An empty listing says
    nothing: a stream may have no files, or nobody asked. Belongs to the caller's transaction.
    """
    files = list(listed)
    if not files:
        return
    now = timezone.now()
    with transaction.atomic():
        rows = [
            SourceFile(
                stream=stream,
                path=each.path,
                size=each.size,
                modified=datetime.fromisoformat(each.modified),
                # A pattern may tell the hour, too.
                file_date=date.fromisoformat(each.file_date[:10]) if each.file_date else None,
                last_seen_at=now,
            )
            for each in files
        ]
        SourceFile.objects.bulk_create(
            rows,
            batch_size=5000,
            update_conflicts=True,
            unique_fields=["stream", "path"],
            update_fields=["size", "modified", "file_date", "last_seen_at", "gone_at"],
        )
        gone = SourceFile.objects.filter(stream=stream, gone_at__isnull=True).exclude(last_seen_at=now)
        gone.update(gone_at=now)
        # An archive that could not be looked into is a file; one that can is known by what is in it.
        above = {str(folder) for each in files for folder in PurePosixPath(each.path).parents}
        SourceFile.objects.filter(stream=stream, path__in=above, ignored=False).delete()
        if changed:
            SourceFile.objects.filter(stream=stream, path__in=changed).update(digest="", touched="")


def record_touched(stream: Stream, files: Iterable[FileRef]) -> None:
    """Keep that these files have another time by now and the bytes that they had, so that nobody compares them again.

    Where another reader has found other bytes in one, that stands.
    """
    times = {each.path: each for each in files}
    rows = list(SourceFile.objects.filter(stream=stream, path__in=times)) if times else []
    same = [row for row in rows if row.digest == times[row.path].digest and row.touched != times[row.path].modified]
    for row in same:
        row.touched = times[row.path].modified
    SourceFile.objects.bulk_update(same, ["touched"], batch_size=1000)


def record_read(stream: Stream, files: Iterable[Mapping[str, Any]]) -> None:
    """Keep the digests of files as they were read: rows of {path, digest, size, modified, …}."""
    digests = {each["path"]: each["digest"] for each in files if each.get("digest")}
    rows = list(SourceFile.objects.filter(stream=stream, path__in=digests))
    for row in rows:
        row.digest, row.touched = digests[row.path], ""
    SourceFile.objects.bulk_update(rows, ["digest", "touched"], batch_size=1000)


def ignore_file(file: SourceFile, *, ignored: bool, actor: Actor) -> SourceFile:
    """Leave a file out of every later read, or take it in again."""
    with acting(actor):
        SourceFile.objects.filter(pk=file.pk).update(ignored=ignored)
        file.ignored = ignored
        record(
            "file ignored" if ignored else "file taken in",
            object_type="sourcefile",
            object_id=file.pk,
            object_name=file.path,
            project=file.stream.source.project_id,
            data={"stream": str(file.stream)},
        )
    return file
