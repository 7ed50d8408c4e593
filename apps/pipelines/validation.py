"""What can be wrong with a document only within its project: sources, streams and datasets that are not there."""

from __future__ import annotations

import difflib

from apps.accounts.models import Project
from apps.pipelines import document as documents
from apps.pipelines.document import Document
from apps.pipelines.models import Pipeline
from apps.pipelines.parts import Step
from apps.pipelines.problems import Path, Problem
from apps.pipelines.text import Places
from apps.snapshots.models import Dataset
from apps.sources.models import Stream
from dataplane.connectors import registry as connectors
from dataplane.steps.base import DatasetInput


def validate(project: Project, text: str, *, pipeline: Pipeline | None = None) -> tuple[Document | None, list[Problem]]:
    """A document and all that is wrong with it; with `pipeline`, it has to be the document of that pipeline.

    A document with problems is None, so that nobody uses one by mistake.
    """
    document, problems, places = documents.examine(text)
    if document is None:
        return None, problems
    if pipeline is not None and document.pipeline != pipeline.slug:
        message = f"This is the document of the pipeline `{pipeline.slug}`, which keeps its name."
        problems.append(
            places.problem(("pipeline",), message, f"Write `pipeline: {pipeline.slug}`, or apply it as a new one.")
        )
    problems += _streams(project, document, places) + _datasets(project, document, places)
    problems += _destinations(project, document, places)
    problems.sort(key=lambda each: (each.line, each.column))
    return (None if problems else document), problems


def owner_of(dataset: Dataset) -> Pipeline | None:
    """The pipeline whose published document loads a dataset; None where it has none any more, so that another may."""
    owner = Pipeline.objects.filter(pk=dataset.owner_pipeline).select_related("published").first()
    if owner is None or owner.published is None:
        return None
    steps = owner.published.document["steps"].values()
    return owner if any(each.get("load", {}).get("dataset") == dataset.slug for each in steps) else None


def _streams(project: Project, document: Document, places: Places) -> list[Problem]:
    extracts = [each for each in document.steps.values() if each.kind == "extract"]
    known: dict[str, dict[str, Stream]] = {}
    connector_of: dict[str, str] = dict(project.sources.values_list("slug", "connector"))
    named = Stream.objects.filter(source__project=project, source__slug__in={each.spec.source for each in extracts})
    for stream in named.select_related("source"):
        known.setdefault(stream.source.slug, {})[stream.name] = stream
    problems = []
    for each in extracts:
        path = ("steps", each.key, "extract")
        if each.spec.source not in connector_of:
            remedy = _choice(each.spec.source, list(connector_of), "Sources are", "Add it under Sources.")
            problems.append(places.problem((*path, "source"), f"There is no source `{each.spec.source}`.", remedy))
        elif each.spec.stream not in (streams := known.get(each.spec.source, {})):
            message = f"The source `{each.spec.source}` has no stream `{each.spec.stream}`."
            remedy = _choice(each.spec.stream, list(streams), "Its streams are", "Discover its streams first.")
            problems.append(places.problem((*path, "stream"), message, remedy))
        elif each.spec.mode == "incremental":
            problems += _incremental(each, streams[each.spec.stream], places)
    return problems


def _incremental(step: Step, stream: Stream, places: Places) -> list[Problem]:
    """Whether a stream can be read incrementally as it is declared."""
    connector = connectors.get(stream.source.connector)
    path = ("steps", step.key, "extract", "mode")
    if not connector.capabilities.incremental:
        message = f"{connector.title} cannot be read incrementally."
        return [places.problem(path, message, "Write `mode: full_refresh`.")]
    if connector.needs_cursor() and not stream.config.get("cursor"):
        message = f"The stream `{stream.name}` has no cursor column, which says what is new."
        return [places.problem(path, message, "Choose one on the stream's page, or write `mode: full_refresh`.")]
    return []


def _datasets(project: Project, document: Document, places: Places) -> list[Problem]:
    loads = document.loads()
    path: Path
    known = {each.slug: each for each in Dataset.objects.filter(project=project, hidden=False)}
    problems = []
    for slug, step in loads.items():
        owner = owner_of(known[slug]) if slug in known else None
        if owner is not None and owner.slug != document.pipeline:
            message = f"The dataset `{slug}` is loaded by the pipeline `{owner.slug}`."
            path = ("steps", step.key, "load", "dataset")
            problems.append(
                places.problem(path, message, "Choose another name, or take the load out of that pipeline first.")
            )
    for key, step in document.steps.items():
        for name, each in step.inputs.items():
            if isinstance(each, DatasetInput) and each.dataset not in known and each.dataset not in loads:
                remedy = _choice(each.dataset, [*known, *loads], "Datasets are", "A `load` step makes one.")
                path = ("steps", key, step.kind, "inputs", name)
                problems.append(places.problem(path, f"There is no dataset `{each.dataset}`.", remedy))
    return problems


def _destinations(project: Project, document: Document, places: Places) -> list[Problem]:
    """Whether each destination is there, can be written to, and may be."""
    loads = document.loads_outside()
    known = {each.slug: each for each in project.sources.all()} if loads else {}
    problems = []
    for each in loads:
        slug = each.spec.destination
        path = ("steps", each.key, "load", "destination")
        if slug not in known:
            remedy = _choice(slug, list(known), "Sources are", "Add it under Sources, and mark it writable.")
            problems.append(places.problem(path, f"There is no source `{slug}`.", remedy))
        elif not (connector := connectors.get(known[slug].connector)).capabilities.writable:
            message = f"The source `{slug}` is read by {connector.title}, which cannot write."
            problems.append(places.problem(path, message, "Choose another destination."))
        elif not known[slug].writable:
            message = f"The source `{slug}` is not marked writable."
            problems.append(places.problem(path, message, "An Admin can allow it on the source's page."))
    return problems


def _choice(given: str, known: list[str], intro: str, empty: str) -> str:
    close = difflib.get_close_matches(given, known, 1)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"{intro}: {', '.join(sorted(known)[:20])}." if known else empty
