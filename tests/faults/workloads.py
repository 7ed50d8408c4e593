"""Pipelines that run again and again while things break, and what must be true of them in the end."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from apps.accounts.models import Project
from apps.pipelines import services
from apps.pipelines.models import Pipeline, Run, StepRun
from apps.pipelines.states import RUN_TERMINAL, STEP_OPEN
from apps.snapshots.models import DataFile, Dataset, Snapshot
from apps.sources import services as sources
from dataplane.storage import Storage
from tests.apps.pipelines import workshop as ws

# Quick and patient: a strike at the database or the broker is no failure of a run.
_HEAD = "manifold: 1\nretry: {attempts: 20, delays: [0.5], on: [transient, infrastructure]}\n"


class Workload(ABC):
    """One pipeline. `advance` starts its next run when the last one has ended."""

    slug: str

    def __init__(self, project: Project, chance: random.Random) -> None:
        self.project, self.chance = project, chance
        self.ended: Counter[str] = Counter()
        self.pipeline = self.publish()

    @abstractmethod
    def publish(self) -> Pipeline: ...

    @abstractmethod
    def change_source(self) -> None:
        """Something new to read."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is not as it must be once a last run has succeeded undisturbed."""

    def advance(self) -> None:
        last = Run.objects.filter(pipeline=self.pipeline).order_by("-id").first()
        if last is not None:
            if last.state not in RUN_TERMINAL:
                return
            self.ended[how(last)] += 1
        self.change_source()
        services.start_run(self.pipeline, actor=ws.ACTOR)

    @property
    def idle(self) -> bool:
        return not Run.objects.filter(pipeline=self.pipeline).exclude(state__in=RUN_TERMINAL).exists()


class Fan(Workload):
    """Many small steps: out to twelve, in to one, on to three, and out again."""

    slug = "fan"

    def publish(self) -> Pipeline:
        wide = "".join(f"  w{n}: {{noop: {{inputs: [start]}}}}\n" for n in range(12))
        names = ", ".join(f"w{n}" for n in range(12))
        chain = "".join(f"  c{n}: {{noop: {{inputs: [{f'c{n - 1}' if n else 'joined'}]}}}}\n" for n in range(3))
        text = (
            f"{_HEAD}pipeline: fan\nsteps:\n  start: {{noop: {{}}}}\n{wide}  joined: {{noop: {{inputs: [{names}]}}}}\n"
        )
        return ws.published(self.project, text + chain)

    def change_source(self) -> None: ...

    def faults(self) -> list[str]:
        return []


class Orders(Workload):
    """Incremental from a table: checked, loaded, merged by a key, and summed up from the dataset that it feeds.

    And the same into tables of the source's database.
    """

    slug = "orders"

    def __init__(self, project: Project, chance: random.Random, url: str) -> None:
        self.url = url
        super().__init__(project, chance)

    def publish(self) -> Pipeline:
        ws.execute(self.url, "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, amount int NOT NULL)")
        self.change_source()
        source = ws.postgres_source(self.project, self.url)
        ws.cursor(source, "public.orders", "id")
        sources.update_source(source, writable=True, actor=ws.ACTOR)
        return ws.published(
            self.project,
            _HEAD
            + """
pipeline: orders
steps:
  orders: {extract: {source: db, stream: public.orders, mode: incremental}}
  sound: {check: {input: orders, rules: [{range: {column: amount, min: 0}, action: stop}]}}
  kept: {load: {input: sound, dataset: orders}}
  sums: {sql: {inputs: {o: {dataset: orders}}, query: "SELECT count(*) AS n, sum(amount)::BIGINT AS amount FROM o"}}
  summed: {load: {input: sums, dataset: totals, mode: replace}}
  last: {sql: {inputs: {o: sound}, query: "SELECT id % 97 AS slot, max(id) AS id FROM o GROUP BY slot"}}
  merged: {load: {input: last, dataset: latest, mode: merge, key: [slot]}}
  out: {load: {input: sound, destination: db, table: copied}}
  out_sums: {load: {input: sums, destination: db, table: totals, mode: replace}}
  out_last: {load: {input: last, destination: db, table: latest, mode: merge, key: [slot]}}
""",
        )

    def change_source(self) -> None:
        rows = self.chance.randint(1, 40)
        ws.execute(
            self.url, "INSERT INTO orders (amount) SELECT (random() * 100)::int FROM generate_series(1, %s)", rows
        )

    def faults(self) -> list[str]:
        with psycopg.connect(self.url) as connection:
            wanted = Counter(connection.execute("SELECT id, amount FROM orders").fetchall())
            totals = connection.execute("SELECT count(*), sum(amount) FROM orders").fetchall()
            latest = connection.execute("SELECT id % 97, max(id) FROM orders GROUP BY 1").fetchall()
            copied = Counter(connection.execute("SELECT id, amount FROM copied").fetchall())
            totals_outside = Counter(connection.execute("SELECT n, amount FROM totals").fetchall())
            latest_outside = Counter(connection.execute("SELECT slot, id FROM latest").fetchall())
        return [
            *_difference("the table copied", copied, wanted),
            *_difference("the table totals", totals_outside, Counter(totals)),
            *_difference("the table latest", latest_outside, Counter(latest)),
            *_difference("orders", ws.rows(self.project, "orders", "id, amount"), wanted),
            *_difference("totals", ws.rows(self.project, "totals"), Counter(totals)),
            *_difference("latest", ws.rows(self.project, "latest", "slot, id"), Counter(latest)),
        ]


class Drops(Workload):
    """Incremental from files that are dropped: bad rows are set aside, each file arrives once."""

    slug = "drops"

    def __init__(self, project: Project, chance: random.Random, folder: Path) -> None:
        self.folder = folder
        self.files = 0
        self.wanted: Counter[tuple[Any, ...]] = Counter()
        self.bad = 0
        super().__init__(project, chance)

    def publish(self) -> Pipeline:
        self.folder.mkdir()
        self.change_source()
        ws.files_source(self.project, self.folder)
        return ws.published(
            self.project,
            _HEAD
            + """
pipeline: drops
steps:
  drops: {extract: {source: drop, stream: drop, mode: incremental}}
  sound: {check: {input: drops, rules: [{range: {column: amount, min: 0}, action: quarantine}]}}
  named: {sql: {inputs: {d: sound}, query: "SELECT number, amount, amount * 2 AS twice FROM d"}}
  kept: {load: {input: named, dataset: drops}}
  counted: {load: {input: sound, dataset: drops-too}}
""",
        )

    def change_source(self) -> None:
        """One file or two with rows of their own, some of them bad."""
        for _ in range(self.chance.randint(1, 2)):
            self.files += 1
            rows = [(self.files * 1000 + n, self.chance.randint(-1, 50)) for n in range(self.chance.randint(1, 30))]
            # The first file settles the types of the columns.
            rows.append((self.files * 1000 + 999, 1))
            lines = ["number,amount", *(f"{number},{amount}" for number, amount in rows)]
            ws.write(self.folder, f"drop_{self.files:05d}.csv", lines)
            self.wanted.update(row for row in rows if row[1] >= 0)
            self.bad += sum(1 for row in rows if row[1] < 0)

    def faults(self) -> list[str]:
        twice = Counter({(number, amount, 2 * amount): 1 for number, amount in self.wanted})
        rejected = ws.rows(self.project, "drops.rejected", "file, row").total() if self.bad else 0
        return [
            *_difference("drops", ws.rows(self.project, "drops", "number, amount, twice"), twice),
            *_difference("drops-too", ws.rows(self.project, "drops-too", "number, amount"), self.wanted),
            *([] if rejected == self.bad else [f"drops.rejected: {rejected} rows instead of {self.bad}"]),
        ]


def how(run: Run) -> str:
    """The state of an ended run, and what it failed with."""
    return run.state if run.error is None else f"{run.state}: {run.error['class']}/{run.error['code']}"


def _difference(slug: str, found: Counter[Any], wanted: Counter[Any]) -> list[str]:
    missing, doubled = wanted - found, found - wanted
    if not missing and not doubled:
        return []
    return [
        f"{slug}: {missing.total()} rows missing, {doubled.total()} too many, such as {list(missing + doubled)[:3]}"
    ]


def broken_rows(storage: Storage) -> list[str]:
    """What must hold for every run, snapshot and file, whatever the pipeline."""
    found = [
        f"the ended run {step.run_id} has the open step {step.key} ({step.state})"
        for step in StepRun.objects.filter(run__state__in=RUN_TERMINAL, state__in=STEP_OPEN)
    ]
    for dataset in Dataset.objects.all():
        numbers = sorted(Snapshot.objects.filter(dataset=dataset).values_list("number", flat=True))
        if numbers != list(range(1, dataset.head + 1)):
            found.append(f"{dataset.slug}: snapshots {numbers} with head {dataset.head}")
    for file in DataFile.objects.all():
        if not Path(storage.absolute(file.path)).exists():
            found.append(f"{file.path} is gone")
        elif (storage.size(file.path), storage.sha256(file.path)) != (file.bytes, file.sha256):
            found.append(f"{file.path} is not what was committed")
    return found
