"""Files that wait to be read by the incremental extracts of published pipelines."""

from __future__ import annotations

from apps.accounts.models import Project
from apps.pipelines import document as documents
from apps.pipelines.models import Pipeline, Window
from apps.sources import services as sources
from apps.sources.models import Stream
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.windows import Mark
from dataplane.errors import ManifoldError


def pending_files(project: Project) -> int:
    """How many files there are of which no window has finished.

    Folders on this machine are looked into now; of other places counts what a run, or the look for new files, has seen.
    """
    waiting = 0
    for pipeline in Pipeline.objects.filter(project=project, published__isnull=False).select_related("published"):
        document = documents.load(pipeline.published.document) if pipeline.published else None
        for step in document.incremental() if document else ():
            named = Stream.objects.filter(source__project=project, source__slug=step.spec.source, name=step.spec.stream)
            stream = named.select_related("source", "source__credential").first()
            if stream is not None:
                waiting += len(_there(stream) - _taken(pipeline, step.key))
    return waiting


def _there(stream: Stream) -> set[str]:
    """The files of a stream but those that were set aside; as they were seen last where nobody can look."""
    seen = set(stream.files.filter(gone_at=None).values_list("path", flat=True))
    ignored = frozenset(stream.files.filter(ignored=True).values_list("path", flat=True))
    try:
        connector, config = sources.binding(stream)
        if isinstance(connector, FileConnector) and connector.near:
            seen = {each.path for each in connector.plan(config, "incremental", Mark(ignored=ignored)).listed}
    except ManifoldError:
        # The folder may be mounted on the workers only, or has gone: its source's health says so.
        pass
    return seen - ignored


def _taken(pipeline: Pipeline, step: str) -> set[str]:
    bounds = Window.objects.filter(pipeline=pipeline, step_key=step, state="done").values_list("bounds", flat=True)
    return {file["path"] for each in bounds for file in each.get("files", ())}
