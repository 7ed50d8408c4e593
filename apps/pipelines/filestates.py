"""What has become of each file, for each step of a pipeline that reads only what is new; told by its windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.pipelines import windows as w
from apps.pipelines.models import Pipeline
from apps.sources.models import Source, SourceFile, Stream
from dataplane.connectors import registry

STATES = {
    "pending": "waits to be read, or is being read",
    "processed": "its rows have arrived",
    "failed": "a branch that may fail has not loaded it",
    "ignored": "somebody has set it aside",
    "changed": "has changed since it was read",
    "gone": "went away before it was read",
}
_OF_WINDOWS = {"done": "processed", "failed": "failed"}


@dataclass(frozen=True)
class FileState:
    """A file of one step, the source and stream that it belongs to, and what has become of it."""

    step: str
    source: str
    stream: str
    file: SourceFile
    state: str

    def as_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "source": self.source,
            "stream": self.stream,
            "path": self.file.path,
            "state": self.state,
            "size": self.file.size,
            "modified": self.file.modified.isoformat().replace("+00:00", "Z"),
            "file_date": self.file.file_date.isoformat() if self.file.file_date else None,
        }


def of_pipeline(pipeline: Pipeline, step: str = "") -> list[FileState]:
    """Every file that was seen, by step, date and path; of one step, where it is named. Two queries a step."""
    found: list[FileState] = []
    steps = pipeline.published.document["steps"] if pipeline.published else {}
    kept = w.kept(pipeline.pk)
    for key, written in steps.items():
        extract = written.get("extract") or {}
        if extract.get("mode") != "incremental" or step not in ("", key):
            continue
        # Its columns are long: they are not read again with each file.
        stream = (
            Stream.objects.filter(
                source__project_id=pipeline.project_id, source__slug=extract["source"], name=extract["stream"]
            )
            .select_related("source")
            .first()
        )
        if stream is None or registry.get(stream.source.connector).family != "file":
            continue
        taken = _taken(each for each in kept if each.step_key == key and each.source == stream.source_id)
        rows = SourceFile.objects.filter(stream=stream).order_by("file_date", "path")
        found += [FileState(key, extract["source"], stream.name, each, _state(each, taken)) for each in rows]
    return found


def reads_files(pipeline: Pipeline) -> bool:
    """Whether a step of the published version takes new files."""
    steps = pipeline.published.document["steps"].values() if pipeline.published else ()
    extracts = [each["extract"] for each in steps if each.get("extract", {}).get("mode") == "incremental"]
    kinds = Source.objects.filter(project=pipeline.project_id, slug__in={each["source"] for each in extracts})
    return any(registry.get(each).family == "file" for each in kinds.values_list("connector", flat=True))


def counted(states: Iterable[FileState]) -> dict[str, int]:
    """How many files are in each state, in the order of the states; those that have none are left out."""
    counts = Counter(each.state for each in states)
    return {each: counts[each] for each in STATES if counts[each]}


def _taken(windows: Iterable[Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Path -> the state of the newest window that holds it, and the file as it was read there."""
    taken: dict[str, tuple[str, dict[str, Any]]] = {}
    for each in windows:
        state = _OF_WINDOWS.get(each.state, "pending")
        taken |= {file["path"]: (state, file) for file in each.bounds.get("files", ())}
    return taken


def _state(file: SourceFile, taken: dict[str, tuple[str, dict[str, Any]]]) -> str:
    if file.ignored:
        return "ignored"
    if file.path not in taken:
        return "pending" if file.gone_at is None else "gone"
    state, read = taken[file.path]
    return "changed" if state == "processed" and _differs(file, read) else state


def _differs(file: SourceFile, read: dict[str, Any]) -> bool:
    """Whether a file is not as it was read: what a plan has found changed has no digest until it is read again."""
    same = file.size == read["size"] and file.modified == datetime.fromisoformat(read["modified"])
    return not same and not file.digest
