"""Freshness: by when each dataset, or stream of a source, has to be loaded again, and whether it was.

What is expected and when the last load came say together when the next one is due; no clock is needed for that. From
then on the dataset or stream is late, and when the grace is over it is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db.models import OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce, Concat
from pydantic import ValidationError

from apps.accounts.models import Project
from apps.audit.context import SYSTEM, Actor, acting
from apps.audit.refusals import Conflict
from apps.audit.services import record
from apps.audit.ticks import one_by_one, tick
from apps.pipelines.document import Document
from apps.pipelines.expecting import Expected
from apps.pipelines.models import Freshness, Ingestion, Pipeline, PipelineVersion
from apps.pipelines.models.windows import ARRIVED
from apps.pipelines.queries import shown_time
from apps.pipelines.schedules import clock
from apps.snapshots import queries as snapshots
from apps.snapshots.models import Dataset, Snapshot
from apps.sources.models import Stream
from apps.sources.parameters import InvalidFields

Subject = Dataset | Stream


@dataclass(frozen=True)
class Verdict:
    """`fresh`, `late` or `stale`; when the next load is, or was, due, and when late becomes stale."""

    state: str
    due_at: datetime | None
    stale_at: datetime | None


def understood(given: Any) -> Expected:
    """What somebody expects. Raises InvalidFields."""
    try:
        return Expected.model_validate(given)
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for each in error.errors(include_url=False):
            name = str(each["loc"][0]) if each["loc"] else "by"
            text = each["msg"].removeprefix("Value error, ")
            fields.setdefault(name, []).append(text if text.endswith(".") else f"{text}.")
        raise InvalidFields(fields) from None


def expected_of(row: Freshness) -> Expected:
    return Expected.model_validate(row.expected)


def judged(expected: Expected, loaded: datetime, now: datetime) -> Verdict:
    """`loaded`: when the last load came, or when the dataset was made or the stream found, if none came yet."""
    due = expected.due(loaded)
    if due is None:
        return Verdict("fresh", None, None)
    stale = due + expected.late_for()
    return Verdict("fresh" if now < due else "late" if now < stale else "stale", due, stale)


def verdict_of(dataset: Any, now: datetime) -> Verdict | None:
    """How a dataset with `loaded_at` and its freshness selected is; None where nothing is expected."""
    row: Freshness | None = getattr(dataset, "freshness", None)
    return None if row is None else judged(expected_of(row), dataset.loaded_at or dataset.created_at, now)


def standing(datasets: QuerySet[Dataset], failed: Mapping[Any, Any], now: datetime) -> list[tuple[Any, str]]:
    """Datasets with their head, and what is wrong with each: `late`, `stale`, or nothing.

    failed: pipelines whose newest run failed, and that run, by their ids. What it should have loaded is stale. Of a
    dataset that has not been loaded yet nothing is wrong, unless it was expected by now.
    """
    found: list[Any] = list(snapshots.with_head(datasets).select_related("freshness").order_by("slug"))
    return [(each, _wrong(each, failed.get(each.owner_pipeline, each.loaded_by), now)) for each in found]


def _wrong(dataset: Any, newest: Any, now: datetime) -> str:
    """What is wrong with a dataset that the run `newest` should have loaded last."""
    verdict = verdict_of(dataset, now)
    if verdict is not None and verdict.state != "fresh":
        return verdict.state
    return "stale" if newest != dataset.loaded_by else ""


def with_arrival(rows: QuerySet[Freshness]) -> QuerySet[Any]:
    """Expectations with what they are of, and when that was loaded: the head of a dataset, or new rows of a stream."""
    heads = Snapshot.objects.filter(dataset=OuterRef("dataset"), number=OuterRef("dataset__head"))
    read = Ingestion.objects.filter(source=OuterRef("stream__source"), stream=OuterRef("stream__name"))
    news = read.filter(ARRIVED).order_by("-id")
    of_stream = Concat("stream__source__slug", Value("/"), "stream__name")
    return rows.select_related("dataset", "stream__source").annotate(
        name=Coalesce("dataset__slug", of_stream, output_field=TextField()),
        loaded_at=Coalesce(Subquery(heads.values("created_at")), Subquery(news.values("at")[:1])),
    )


def late_in(project: Project, now: datetime) -> list[dict[str, Any]]:
    """The datasets and streams of a project that are late or stale, as every door shows them."""
    rows = Freshness.objects.filter(project=project).exclude(dataset__hidden=True)
    return [shown for _, shown in _late(rows, now)]


def late_streams(project: Project, now: datetime) -> list[tuple[Stream, dict[str, Any]]]:
    """The streams of a project that are late or stale, with their source; the stale ones first."""
    found = _late(Freshness.objects.filter(project=project, dataset=None), now)
    return [(row.stream, shown) for row, shown in sorted(found, key=lambda each: each[1]["state"] != "stale")]


def _late(rows: QuerySet[Freshness], now: datetime) -> list[tuple[Any, dict[str, Any]]]:
    found = [(row, freshness_json(row, now)) for row in with_arrival(rows).order_by("name")]
    return [(row, shown) for row, shown in found if shown["state"] != "fresh"]


def freshness_json(row: Any, now: datetime) -> dict[str, Any]:
    """A row of `with_arrival` as every door shows it."""
    dataset, stream, expected = row.dataset, row.stream, expected_of(row)
    verdict = judged(expected, row.loaded_at or (dataset.created_at if dataset else stream.discovered_at), now)
    return {
        "name": row.name,
        "dataset": dataset and dataset.slug,
        "source": stream and stream.source.slug,
        "stream": stream and stream.name,
        "expected": expected.model_dump(exclude_defaults=True),
        "says": expected.says(),
        "state": verdict.state,
        "due_at": shown_time(verdict.due_at),
        "stale_at": shown_time(verdict.stale_at),
        "loaded_at": shown_time(row.loaded_at),
    }


def expect(subject: Subject, given: Any, *, actor: Actor) -> Freshness:
    """Expect a dataset or a stream to be loaded in time, in place of what was expected before.

    Raises InvalidFields, and Conflict where the document of a dataset's pipeline says what is expected.
    """
    expected = understood(given)
    with acting(actor):
        _refuse_said(subject)
        return _kept(subject, expected)


def expect_nothing(subject: Subject, *, actor: Actor) -> None:
    """Expect nothing any more. Raises Conflict where the document of a dataset's pipeline says what is expected."""
    with acting(actor):
        _refuse_said(subject)
        Freshness.objects.filter(**_of(subject)).delete()


def shown_of(subject: Subject, now: datetime) -> dict[str, Any] | None:
    """What is expected of a dataset or stream, as every door shows it; None for nothing."""
    row = with_arrival(Freshness.objects.filter(**_of(subject))).first()
    return freshness_json(row, now) if row is not None else None


def kind_of(subject: Subject) -> Literal["dataset", "stream"]:
    return "dataset" if isinstance(subject, Dataset) else "stream"


def _of(subject: Subject) -> dict[str, Any]:
    return {kind_of(subject): subject}


def follow(pipeline: Pipeline, document: Document, before: PipelineVersion | None) -> None:
    """Expect what a document says that is published now, and no more what the one before it said.

    Belongs to the transaction of whoever publishes it.
    """
    said = {slug: step.settings.expected for slug, step in document.loads().items() if step.settings.expected}
    dropped = set(_said_by(before)) - set(said)
    own = Dataset.objects.filter(project=pipeline.project_id, owner_pipeline=pipeline.pk)
    Freshness.objects.filter(dataset__in=own.filter(slug__in=dropped)).delete()
    for dataset in own.filter(slug__in=said):
        _kept(dataset, said[dataset.slug])


def _kept(subject: Subject, expected: Expected) -> Freshness:
    project = subject.project_id if isinstance(subject, Dataset) else subject.source.project_id
    kept = {"project_id": project, "expected": expected.model_dump(exclude_defaults=True)}
    row, _ = Freshness.objects.update_or_create(**_of(subject), defaults=kept)
    return row


def _said_by(version: PipelineVersion | None) -> list[str]:
    """The datasets of which a version says what is expected."""
    steps = version.document["steps"].values() if version else ()
    return [each["load"]["dataset"] for each in steps if each.get("expected") and "dataset" in each.get("load", {})]


def _refuse_said(subject: Subject) -> None:
    if isinstance(subject, Stream):
        return
    owner = Pipeline.objects.select_related("published").filter(pk=subject.owner_pipeline).first()
    if owner is not None and subject.slug in _said_by(owner.published):
        raise Conflict(
            f"The document of {owner.slug} says by when {subject.slug} has to be loaded. Change `expected` of its step "
            f"`{subject.owner_step}` there.",
            code="said_in_document",
        )


@tick
def watch() -> None:
    """Write down, once, what has become late, stale, or fresh again."""
    watch_at(clock())


def watch_at(now: datetime) -> None:
    """As `watch`, at a moment."""
    one_by_one(lambda row: _settle(row, now), with_arrival(Freshness.objects.all()))


def _settle(row: Any, now: datetime) -> None:
    shown, kind = freshness_json(row, now), kind_of(row.subject)
    if shown["state"] == row.state:
        return
    with acting(SYSTEM):
        mine = Freshness.objects.filter(pk=row.pk, state=row.state, expected=row.expected)
        if mine.update(state=shown["state"], state_at=now):
            record(
                f"{kind} {shown['state']}",
                object_type=kind,
                object_id=row.subject.pk,
                object_name=shown["name"],
                project=row.project_id,
                data={"before": row.state, **{name: shown[name] for name in ("says", "due_at", "loaded_at")}},
            )
