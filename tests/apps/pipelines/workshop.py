"""Real pipelines in tests: sources with real rows, documents, and runs that are worked off in this process."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg

from apps.accounts.models import Project
from apps.audit.context import Actor
from apps.pipelines import services
from apps.pipelines.execution import settling
from apps.pipelines.execution.steps import run_step
from apps.pipelines.models import Pipeline, Run, StepRun, Window
from apps.snapshots import queries as snapshots
from apps.snapshots.models import Dataset
from apps.sources import services as sources
from apps.sources.models import Source, Stream
from tests.looking import shown
from tests.mortal import Mortals

ACTOR = Actor("command", None, "tests")


def postgres_source(project: Project, url: str, slug: str = "db") -> Source:
    """A source on this database, with its streams discovered."""
    parts = urlsplit(url)
    params = {
        "host": parts.hostname,
        "port": parts.port,
        "database": parts.path.strip("/"),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "sslmode": "disable",
    }
    source = sources.create_source(
        project=project, slug=slug, title=slug, connector="postgresql", params=params, actor=ACTOR
    )
    sources.discover_streams(source=source, actor=ACTOR)
    return source


def cursor(source: Source, stream: str, column: str, lookback: float = 0) -> Stream:
    """Declare how a stream is read incrementally."""
    found = source.streams.get(name=stream)
    return sources.update_stream(stream=found, config={"cursor": column, "lookback": lookback}, actor=ACTOR)


def execute(url: str, statement: str, *parameters: Any) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement, parameters or None)


def insert(url: str, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as target:
        found = list(rows)
        if found:
            marks = ", ".join(["%s"] * len(found[0]))
            target.executemany(f"INSERT INTO {table} VALUES ({marks})", found)


def published(project: Project, text: str) -> Pipeline:
    """A pipeline with this document as its newest version."""
    return services.apply_document(project, text, actor=ACTOR, publish=True)


def work() -> int:
    """Work off every ready step, and whatever becomes ready by it; returns how many."""
    count = 0
    while (ready := StepRun.objects.filter(state="ready", run__state="running").order_by("id").first()) is not None:
        run_step(ready.pk, "tests", may_exit=False)
        count += 1
    return count


def run(pipeline: Pipeline, mode: str = "auto") -> Run:
    """Start a run and work off everything; runs that follow it too."""
    pipeline.refresh_from_db()
    started = services.start_run(pipeline, actor=ACTOR, mode=mode)
    work()
    started.refresh_from_db()
    return started


def retry(ended: Run) -> Run:
    again = services.retry_run(ended, actor=ACTOR)
    work()
    again.refresh_from_db()
    return again


def states(run: Run) -> dict[str, str]:
    return dict(run.steps.values_list("key", "state"))


def error_of(run: Run) -> str:
    """What a run failed with; for messages of assertions."""
    return json.dumps(run.error, indent=1) if run.error else f"{run.state}: {run.mode_reason}"


def failure(run: Run) -> dict[str, Any]:
    """The error that a run ended with."""
    assert run.error is not None, run.state
    return dict(run.error)


def output(run: Run, key: str) -> dict[str, Any]:
    """What a step of a run says of its outcome."""
    found = run.steps.get(key=key).output
    assert found is not None
    return dict(found)


def windows(pipeline: Pipeline) -> list[str]:
    """The states of all windows, the oldest first."""
    return list(Window.objects.filter(pipeline=pipeline).order_by("id").values_list("state", flat=True))


def rows(project: Project, slug: str, columns: str = "*", number: int | None = None) -> Counter[tuple[Any, ...]]:
    """The rows of a dataset as a multiset, every value as the API shows it; of its head, or of one snapshot."""
    dataset = Dataset.objects.get(project=project, slug=slug)
    if not dataset.head:
        return Counter()
    table = snapshots.table_of(snapshots.snapshot(dataset, number or dataset.head))
    return Counter(shown(table, snapshots.storage(), columns))


def write(folder: Path, name: str, lines: Iterable[str]) -> Path:
    """A file in a drop folder, appearing whole, with a time of change that is its own."""
    path = folder / name
    before = path.stat().st_mtime_ns if path.exists() else 0
    partial = folder / f".{name}.part"
    partial.write_text("".join(f"{each}\n" for each in lines))
    if before:
        os.utime(partial, ns=(before + 10**9, before + 10**9))
    partial.rename(path)
    return path


def work_before(key: str) -> None:
    """Work off ready steps until only the named one is left, as if the workers had stopped there."""
    while (ready := StepRun.objects.filter(state="ready").exclude(key=key).order_by("id").first()) is not None:
        run_step(ready.pk, "tests", may_exit=False)


def killed(mortal: Mortals, key: str, place: str) -> bool:
    """Work up to a step, whose worker is killed at a place; whether the step was lost with it, for it had not ended."""
    work_before(key)
    step = StepRun.objects.get(key=key, state="ready")
    by = signal.SIGXFSZ if mortal.room else signal.SIGKILL
    assert mortal.work(step.pk, die_at=place) == -by, f"{key} {place}"
    left = StepRun.objects.filter(pk=step.pk, state="running")
    lost = left.update(lease_until=datetime(2026, 1, 1, tzinfo=UTC)) == 1
    assert not lost or settling.lose(step.pk)
    return lost


def run_cut_off(pipeline: Pipeline, before: str, mode: str = "auto") -> Run:
    """A run that is cancelled when all but the named step, and what follows it, is done; or one with nothing new."""
    pipeline.refresh_from_db()
    started = services.start_run(pipeline, actor=ACTOR, mode=mode)
    work_before(before)
    started.refresh_from_db()
    if started.state == "running":
        services.cancel_run(started, actor=ACTOR)
    work()
    started.refresh_from_db()
    return started


def files_source(project: Project, folder: Path, slug: str = "drop") -> Source:
    """A source on a folder, with its streams discovered from the files that are there."""
    source = sources.create_source(
        project=project, slug=slug, title=slug, connector="local_files", params={"path": str(folder)}, actor=ACTOR
    )
    sources.discover_streams(source=source, actor=ACTOR)
    return source
