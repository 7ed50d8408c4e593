"""Files that are dropped, changed, truncated, renamed and removed between whole runs: the dataset is the model."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.pipelines import services
from apps.sources import services as sources
from apps.sources.models import SourceFile
from tests.apps.pipelines import workshop as ws

pytestmark = pytest.mark.all

TEXT = """
manifold: 1
pipeline: sales
retry: {attempts: 1}
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  kept: {load: {input: sales, dataset: sales, mode: merge, key: [id]}}
"""
HEADER = "id,amount\n"
MOVES = {
    "drop": 5,
    "change": 4,
    "touch": 2,
    "truncate": 4,
    "empty": 2,
    "rename": 4,
    "remove": 2,
    "run": 8,
    "cut_off": 2,
}
SEED_ONLY = {"seed_overtaken", "merge_overtaken", "closed_window_differs"}


class Walk:
    """A folder, the pipeline that reads it, and what should have arrived.

    there: the bytes of each file; taken: those by which it was loaded last; expected: the rows that were loaded, by
    their ids, each as it came last.
    """

    def __init__(self, project: Project, folder: Path, policy: str, dice: random.Random) -> None:
        self.project, self.folder, self.policy, self.dice = project, folder, policy, dice
        self.clock, self.number = 1_700_000_000, 0
        self.there: dict[str, str] = {}
        self.taken: dict[str, str] = {}
        self.expected: dict[str, int] = {}
        self.said: list[str] = []
        self.drop()
        source = ws.files_source(project, folder)
        (stream,) = source.streams.all()
        stream.name = "sales"
        stream.save()
        settings = {"pattern": ["*.csv"], "when_changed": policy, "settle_seconds": 0}
        sources.update_stream(stream, config={"settings": settings}, actor=ws.ACTOR)
        self.pipeline = ws.published(project, TEXT)

    # What happens to the files.

    def drop(self) -> None:
        self.number += 1
        self._fill(f"sales_{self.number:03d}.csv")

    def change(self) -> None:
        self._fill(self._any())

    def touch(self) -> None:
        name = self._any()
        self._put(name, self.there[name])

    def truncate(self) -> None:
        """A file loses its last row, or all of them but its header."""
        name = self._any()
        lines = self.there[name].splitlines(keepends=True)
        self._put(name, "".join(lines[: max(1, self.dice.choice([1, len(lines) - 1]))]) or HEADER)

    def empty(self) -> None:
        self._put(self._any(), "")

    def rename(self) -> None:
        name = self._any()
        self.number += 1
        content = self.there.pop(name)
        (self.folder / name).unlink()
        self._put(f"sales_{self.number:03d}.csv", content)

    def remove(self) -> None:
        name = self._any()
        if len(self.there) > 1:
            del self.there[name]
            (self.folder / name).unlink()

    def _any(self) -> str:
        return self.dice.choice(sorted(self.there))

    def _fill(self, name: str) -> None:
        rows = [f"{name[:-4]}-{at},{self.dice.randrange(100)}\n" for at in range(self.dice.randint(1, 3))]
        self._put(name, HEADER + "".join(rows))

    def _put(self, name: str, content: str) -> None:
        """A file with a time of change of its own."""
        self.clock += 10
        (self.folder / name).write_text(content)
        os.utime(self.folder / name, (self.clock, self.clock))
        self.there[name] = content

    # What people do.

    def cut_off(self) -> None:
        """A run that is cancelled before what it has read is loaded."""
        ws.run_cut_off(self.pipeline, "kept")

    def run(self) -> None:
        """Runs until nothing is new; whatever stops them is told as what it is, and mended."""
        for _ in range(12):
            ended = ws.run(self.pipeline)
            self.said.append(f"    {ended.mode} {ended.state} {(ended.error or {}).get('code', '')}")
            if ended.state == "skipped":
                self._arrived()
                return
            if ended.state != "succeeded":
                self._mend(ws.failure(ended)["code"])
        raise AssertionError("runs do not come to rest")

    def _mend(self, code: str) -> None:
        if code == "file_empty":
            assert self._empties()
            self._fill_empties()
        elif code == "files_missing":
            gone = SourceFile.objects.filter(ignored=False).exclude(path__in=self.there)
            assert gone
            for each in gone:
                sources.ignore_file(file=each, ignored=True, actor=ws.ACTOR)
        elif code == "file_changed_since":
            assert self.policy == "stop"
            assert self._changed(self.taken), "a file that was never loaded stops nothing"
            self.dice.choice([self._seed, self._put_back])()
        else:
            assert code in SEED_ONLY, code
            self._seed()

    def _empties(self) -> list[str]:
        return [name for name, content in self.there.items() if not content]

    def _fill_empties(self) -> None:
        for each in self._empties():
            self._fill(each)

    def _changed(self, since: dict[str, str]) -> list[str]:
        return [name for name, content in since.items() if self.there.get(name, content) != content]

    def _put_back(self) -> None:
        for each in self._changed(self.taken):
            self._put(each, self.taken[each])

    def _seed(self) -> None:
        self._fill_empties()
        services.start_run(self.pipeline, actor=ws.ACTOR, mode="seed")
        ws.work()
        self.said.append(f"    seed {self.pipeline.runs.order_by('-id').values_list('state', flat=True)[0]}")
        self.taken, self.expected = {}, {}
        self._arrived()

    # What has to be so.

    def _arrived(self) -> None:
        """At rest: every new file was read, of changed ones those that the policy wants, and nothing else."""
        changed = self._changed(self.taken) if self.policy == "read_again" else []
        for name in [*(each for each in self.there if each not in self.taken), *changed]:
            self.taken[name] = self.there[name]
            rows = (line.split(",") for line in self.there[name].splitlines()[1:])
            self.expected |= {key: int(amount) for key, amount in rows}
        found = ws.rows(self.project, "sales", "id, amount")
        assert found == Counter(self.expected.items()), (found, self.expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("policy", ["ignore", "read_again", "stop"])
def test_the_dataset_is_what_the_files_held(project: Project, workshop: Path, policy: str, seed: int):
    dice = random.Random(seed)
    walk = Walk(project, workshop, policy, dice)
    try:
        for name in [*dice.choices(list(MOVES), weights=list(MOVES.values()), k=15), "run"]:
            walk.said.append(name)
            getattr(walk, name)()
    except BaseException as error:
        error.add_note("\n".join(walk.said))
        raise
