"""Walks at random through what happens to a pipeline: whatever came before, each row arrives once and the newest state.

Only what is promised is looked at: what the sources hold, and what the datasets do. How the engine goes about it may
change.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import services
from apps.pipelines.models import Pipeline, Run, Window
from apps.pipelines.states import RUN_TERMINAL
from apps.snapshots.models import Dataset
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws

DOCUMENT = """
manifold: 1
pipeline: shop
retry: {attempts: 1}
steps:
  ticks: {extract: {source: db, stream: public.ticks, mode: incremental}TICKS}
  kept: {load: {input: ticks, dataset: kept}}
  sound: {check: {input: ticks, rules: [{range: {column: value, min: 0}, action: stop}]}, if_failed: continue}
  good: {load: {input: sound, dataset: good}}
  customers: {extract: {source: shop, stream: customers, mode: incremental}CUSTOMERS}
  customers_kept: {load: {input: customers, dataset: customers, mode: merge, key: [id]}}
  orders: {extract: {source: shop, stream: orders, mode: incremental}ORDERS}
  orders_kept: {load: {input: orders, dataset: orders}}
  visits: {extract: {source: visits, stream: visits, mode: incremental}VISITS}
  visits_kept: {load: {input: visits, dataset: visits}}
"""
TOGETHER = """
  met: {sql: {inputs: {o: orders, v: visits}, query: "SELECT 'o' || id AS id FROM o UNION ALL SELECT 'v' || id FROM v"}}
  met_kept: {load: {input: met, dataset: met}}
"""
OPTIONAL = ", if_failed: continue"
FOLDERS = {"customers": "shop", "orders": "shop", "visits": "visits"}
STREAMS = list(FOLDERS)
SOURCES = ["db", "shop", "visits"]
EXTRACTS = ["ticks", *STREAMS]
LOADS = ["kept", "good", *(f"{each}_kept" for each in STREAMS)]
# Told to the operator as what only a seed can mend.
SEED_ONLY = {"seed_overtaken", "merge_overtaken", "closed_window_differs"}

Move = tuple[str, int]


def document_of(shape: int) -> str:
    """One of 32 pipelines: which steps may fail, what waits for what, and whether two streams are read together."""
    after = ", after: [customers_kept]" if shape & 4 else ""
    text = DOCUMENT.replace("TICKS", OPTIONAL if shape & 1 else "").replace("CUSTOMERS", OPTIONAL if shape & 2 else "")
    text = text.replace("ORDERS", after).replace("VISITS", OPTIONAL if shape & 8 else "")
    return text + (TOGETHER if shape & 16 else "")


class Walk:
    """A pipeline with its sources, and what they have held so far."""

    def __init__(self, project: Project, url: str, folder: Path, shape: int) -> None:
        self.project, self.url, self.folder, self.shape = project, url, folder, shape
        self.away: set[str] = set()
        self.tick = 0
        self.ids = 0
        self.ticks: set[int] = set()
        self.files: dict[str, dict[str, dict[int, int]]] = {each: {} for each in STREAMS}
        self.broken: set[str] = set()
        self.said: list[str] = []
        ws.execute(url, "CREATE TABLE ticks (tick int, id int, value int)")
        for each in set(FOLDERS.values()):
            (folder / each).mkdir()
        for each in STREAMS:
            self._file(each)
        self.rows(0)
        for slug in sorted(set(FOLDERS.values())):
            ws.files_source(project, folder / slug, slug)
        source = ws.postgres_source(project, url)
        self.port = source.params["port"]
        ws.cursor(source, "public.ticks", "tick")
        self.pipeline: Pipeline = ws.published(project, document_of(shape))

    # What happens to the sources.

    def rows(self, n: int) -> None:
        """Rows arrive: a sound one, a bad one before a sound one, or one at the last tick."""
        kind = n % 3
        if kind == 1:
            self._tick(-1)
        if kind != 2:
            self.tick += 1
        self._tick(1, at=self.tick)

    def _tick(self, value: int, at: int | None = None) -> None:
        self.ids += 1
        if at is None:
            self.tick += 1
            at = self.tick
        ws.insert(self.url, "ticks", [(at, self.ids, value)])
        self.ticks.add(self.ids)

    def file(self, n: int) -> None:
        """A file arrives; now and then one that cannot be read."""
        self._file(STREAMS[n % 3], broken=n % 4 == 0)

    def _file(self, stream: str, *, broken: bool = False) -> None:
        self.ids += 2
        name = f"{stream}_{len(self.files[stream]) + 1}.csv"
        self.files[stream][name] = {self.ids - 1: 0, self.ids: 0}
        if broken:
            self.broken.add(name)
        self._write(stream, name)

    def _write(self, stream: str, name: str) -> None:
        lines = ["id,value", *(f"{key},{value}" for key, value in self.files[stream][name].items())]
        path = ws.write(self._place(FOLDERS[stream]), name, lines)
        if name in self.broken:
            path.write_bytes(b"")

    def _place(self, source: str) -> Path:
        return self.folder / (f"{source}.away" if source in self.away else source)

    def change(self, n: int) -> None:
        """A file of customers, who are merged, has newer rows."""
        names = [each for each in self.files["customers"] if each not in self.broken]
        name = names[n % len(names)]
        self.files["customers"][name] = {key: value + 1 for key, value in self.files["customers"][name].items()}
        self._write("customers", name)

    def mend(self, n: int) -> None:
        """What was wrong with rows and files is put right."""
        ws.execute(self.url, "UPDATE ticks SET value = 1 WHERE value < 0")
        for stream in STREAMS:
            for name in self.broken & self.files[stream].keys():
                self.broken.discard(name)
                self._write(stream, name)

    def leave(self, n: int) -> None:
        slug = SOURCES[n % 3]
        if slug in self.away:
            return
        self.away.add(slug)
        if slug == "db":
            self._answer_at(1)
        else:
            (self.folder / slug).rename(self.folder / f"{slug}.away")

    def come_back(self, n: int) -> None:
        for slug in sorted(self.away):
            if slug == "db":
                self._answer_at(self.port)
            else:
                (self.folder / f"{slug}.away").rename(self.folder / slug)
        self.away.clear()

    def _answer_at(self, port: int) -> None:
        source = Source.objects.get(project=self.project, slug="db")
        Source.objects.filter(pk=source.pk).update(params={**source.params, "port": port})

    # What people do.

    def run(self, n: int) -> None:
        self._start(mode=["auto", "auto", "auto", "auto", "incremental", "repair", "repair", "seed"][n % 8])

    def only(self, n: int) -> None:
        self._start(only=[LOADS[n % len(LOADS)]], mode=["auto", "auto", "seed"][n // 5 % 3])

    def pick(self, n: int) -> None:
        """One file, half of the time also if it was read before."""
        stream = STREAMS[n // 2 % 3]
        names = list(self.files[stream])
        self._start(files=[names[n // 6 % len(names)]], again=n % 2 == 1)

    def cut_off(self, n: int) -> None:
        """A run that is cancelled before one of its steps."""
        steps = EXTRACTS + LOADS
        mode = ["auto", "auto", "auto", "repair", "seed"][n // 16 % 5]
        self._ended(ws.run_cut_off(self._fresh(), steps[n % len(steps)], mode))

    def leave_meanwhile(self, n: int) -> None:
        """A source goes away between the plan of a run and what it reads."""
        key = EXTRACTS[n % 4]
        run = services.start_run(self._fresh(), actor=ws.ACTOR)
        ws.work_before(key)
        self.leave(SOURCES.index(FOLDERS.get(key, "db")))
        self._work()
        self._ended(run)

    def retry(self, n: int) -> None:
        """The newest run that is not whole."""
        whole = Run.objects.filter(pipeline=self.pipeline).exclude(state__in=["skipped", "expired"])
        last = whole.exclude(state="succeeded", outcome="clean").order_by("-id").first()
        if last is None:
            return
        try:
            again = services.retry_run(last, actor=ws.ACTOR)
        except (Conflict, Invalid) as refused:
            self.said.append(f"    refused: {refused}")
            return
        self._work()
        self._ended(again)

    def _start(self, **wanted: Any) -> Run | None:
        try:
            run = services.start_run(self._fresh(), actor=ws.ACTOR, **wanted)
        except (Conflict, Invalid) as refused:
            self.said.append(f"    refused: {refused}")
            return None
        self._work()
        self._ended(run)
        return run

    def _fresh(self) -> Pipeline:
        self.pipeline.refresh_from_db()
        return self.pipeline

    def _work(self) -> None:
        before = Run.objects.filter(pipeline=self.pipeline).count()
        ws.work()
        failed = Window.objects.filter(pipeline=self.pipeline, state="failed").values("batch").distinct().count()
        assert Run.objects.filter(pipeline=self.pipeline).count() <= before + failed + 6, "follow-ups do not end"

    def _ended(self, run: Run) -> None:
        run.refresh_from_db()
        code = (run.error or {}).get("code", "")
        self.said.append(f"    {run.mode or run.requested_mode} {run.state} {run.outcome or ''} {code}")

    # What has to be so.

    def hold(self) -> None:
        """At each moment: no run hangs, and no dataset holds a row twice, or one that never came."""
        runs = Run.objects.filter(pipeline=self.pipeline)
        assert set(runs.values_list("state", flat=True)) <= RUN_TERMINAL, list(runs.values_list("state", flat=True))
        for slug, there in self.arrived().items():
            held = self.held(slug)
            assert max(held.values(), default=1) == 1, (slug, "doubled", sorted(held - Counter(there)))
            assert held.keys() <= there, (slug, "never came", held.keys() - there)

    def settle(self) -> None:
        """Once all is mended a few runs bring everything, and leave nothing open."""
        self.come_back(0)
        self.mend(0)
        for mode in ("auto", "repair", "auto"):
            for _ in range(6):
                run = self._start(mode=mode)
                assert run is not None
                if SEED_ONLY.intersection(each["code"] for each in run.steps.values_list("error", flat=True) if each):
                    run = self._start(mode="seed")
                    assert run is not None
                assert run.state in ("succeeded", "skipped"), (mode, run.state, run.error)
                self.hold()
                if run.state == "skipped":
                    break
            else:
                raise AssertionError(f"{mode} does not come to rest")
        for slug, there in self.arrived().items():
            assert self.held(slug).keys() == there, (slug, "lost", there - self.held(slug).keys())
        wanted = {pair for rows in self.files["customers"].values() for pair in rows.items()}
        got = {(int(key), int(value)) for key, value in ws.rows(self.project, "customers", "id, value")}
        assert got == wanted, ("customers", got ^ wanted)
        assert set(ws.windows(self.pipeline)) <= {"done", "forgotten"}, ws.windows(self.pipeline)

    def arrived(self) -> dict[str, set[str]]:
        """The ids that each dataset may hold."""
        ids = {each: {str(key) for rows in self.files[each].values() for key in rows} for each in STREAMS}
        ticks = {str(each) for each in self.ticks}
        found = {"kept": ticks, "good": ticks} | ids
        if self.shape & 16:
            found["met"] = {f"o{each}" for each in ids["orders"]} | {f"v{each}" for each in ids["visits"]}
        return found

    def held(self, slug: str) -> Counter[str]:
        if not Dataset.objects.get(project=self.project, slug=slug).head:
            return Counter()
        return Counter({str(key): count for (key,), count in ws.rows(self.project, slug, "id").items()})


WEIGHTS = {
    "rows": 6,
    "file": 7,
    "change": 2,
    "mend": 3,
    "leave": 2,
    "come_back": 3,
    "run": 10,
    "only": 2,
    "pick": 2,
    "cut_off": 3,
    "leave_meanwhile": 2,
    "retry": 4,
}


def moves_of(seed: int, count: int) -> tuple[int, list[Move]]:
    """The pipeline and the moves of one walk."""
    dice = random.Random(seed)
    names = dice.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=count)
    return dice.randrange(32), [(each, dice.randrange(960)) for each in names]


def walked(walk: Walk, moves: Sequence[Move]) -> None:
    for name, n in moves:
        walk.said.append(f"{name} {n}")
        move: Callable[[int], None] = getattr(walk, name)
        move(n)
        walk.hold()
    walk.said.append("settle")
    walk.settle()


@pytest.mark.all
@pytest.mark.parametrize("seed", range(4))
def test_each_row_arrives_once_whatever_happens(project: Project, workshop: Path, postgres_url: str, seed: int):
    shape, moves = moves_of(seed, 14)
    walk = Walk(project, postgres_url, workshop, shape)
    try:
        walked(walk, moves)
    except BaseException as error:
        error.add_note("\n".join([document_of(shape), *walk.said]))
        raise
