"""Files that are dropped, changed, touched, truncated, renamed and removed between runs: the dataset is the model."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from dataplane.connectors.base import Connector
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import FileRef, Mark
from dataplane.errors import DataError
from tests.dataplane.connectors.remotes import ssh
from tests.dataplane.connectors.remotes.conftest import HOST_KEY, USER_KEY, Server, served
from tests.dataplane.steps.files_source import Drop, rows

HEADER = "id,amount\n"
values = st.lists(st.integers(0, 9), min_size=1, max_size=3)


class Folder(RuleBasedStateMachine):
    """A folder, a reader that remembers what it has read, and a dataset into which it merges rows by their id."""

    names = Bundle("names")
    touching_changes = False
    """Whether a file has changed when only its time has: that is all that another machine tells."""

    @initialize(policy=st.sampled_from(["ignore", "read_again", "stop"]))
    def begin(self, policy: str) -> None:
        self.kept = tempfile.TemporaryDirectory()
        self.drop = self.opened(Path(self.kept.name))
        self.policy = policy
        self.clock = 1_700_000_000
        self.number = 0
        self.read: dict[str, FileRef] = {}
        self.dataset: dict[str, int] = {}
        # What the model knows: the bytes that lie there, the bytes as they were read, and what should have arrived.
        self.there: dict[str, str] = {}
        self.taken: dict[str, str] = {}
        self.expected: dict[str, int] = {}
        self.stamps: dict[str, int] = {}
        self.taken_at: dict[str, int] = {}
        self.put("sales_0.csv", HEADER + "sales_0-0,1\n")
        stream = self.drop.stream()
        settings = {"pattern": ["*.csv"], "when_changed": policy, "settle_seconds": 0}
        self.stream = StreamConfig(stream.name, settings={**stream.settings, **settings}, columns=stream.columns)

    def put(self, name: str, content: str) -> None:
        """A file with a time of change of its own."""
        self.clock += 10
        path = self.drop.write(name, content)
        os.utime(path, (self.clock, self.clock))
        self.there[name] = content
        self.stamps[name] = self.clock

    def opened(self, root: Path) -> Drop:
        """The folder, and the connector that reads it."""
        return Drop(root)

    def differs(self, name: str) -> bool:
        if name not in self.there:
            return False
        return self.there[name] != self.taken[name] or (
            self.touching_changes and self.stamps[name] != self.taken_at[name]
        )

    @rule(target=names, amounts=values)
    def add(self, amounts: list[int]) -> str:
        self.number += 1
        name = f"sales_{self.number}.csv"
        self.put(name, HEADER + "".join(f"{name[:-4]}-{at},{each}\n" for at, each in enumerate(amounts)))
        return name

    @rule(name=names, amounts=values)
    def change(self, name: str, amounts: list[int]) -> None:
        if name in self.there:
            self.put(name, HEADER + "".join(f"{name[:-4]}-{at},{each}\n" for at, each in enumerate(amounts)))

    @rule(name=names)
    def touch(self, name: str) -> None:
        if name in self.there:
            self.put(name, self.there[name])

    @rule(name=names, to_nothing=st.booleans())
    def truncate(self, name: str, to_nothing: bool) -> None:
        if name in self.there:
            self.put(name, "" if to_nothing else HEADER)

    @rule(name=names)
    def remove(self, name: str) -> None:
        if self.there.pop(name, None) is not None:
            (self.drop.folder / name).unlink()

    @rule(target=names, name=consumes(names))
    def rename(self, name: str) -> str:
        self.number += 1
        other = f"sales_{self.number}.csv"
        if name in self.there:
            content = self.there.pop(name)
            (self.drop.folder / name).unlink()
            self.put(other, content)
        return other

    @rule()
    def run(self) -> None:
        new = [each for each in self.there if each not in self.taken]
        changed = [each for each in self.taken if self.differs(each)]
        wanted = new + (changed if self.policy == "read_again" else [])
        stops = "file_changed_since" if changed and self.policy == "stop" else ""
        stops = stops or ("file_empty" if any(not self.there[each] for each in wanted) else "")
        if stops:
            with pytest.raises(DataError) as refused:
                self.read_what_is_new()
            assert refused.value.code == stops
            return
        self.read_what_is_new()
        for each in wanted:
            self.taken[each], self.taken_at[each] = self.there[each], self.stamps[each]
            self.expected |= {row.split(",")[0]: int(row.split(",")[1]) for row in self.there[each].splitlines()[1:]}
        assert self.dataset == self.expected

    def read_what_is_new(self) -> None:
        planned = self.drop.connector.plan(self.stream, "incremental", Mark(files=tuple(self.read.values())))
        if planned.window is None:
            return
        result = self.drop.extract(self.stream, planned.window)
        self.read |= {each["path"]: _as_read(each) for each in result.facts["files"]}
        found: list[tuple[Any, ...]] = rows(self.drop.root, result)
        self.dataset |= dict(found)

    def teardown(self) -> None:
        if hasattr(self, "kept"):
            self.kept.cleanup()


def _as_read(file: dict[str, Any]) -> FileRef:
    return FileRef(**{name: value for name, value in file.items() if name != "rows"})


quick = settings(
    max_examples=10, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestFolder = Folder.TestCase
TestFolder.settings = quick


class Longer(Folder):
    """The same with many more examples."""


@dataclass
class Served(Drop):
    """The folder as an SFTP server serves it."""

    server: Server

    @property
    def connector(self) -> Connector:
        return self.server.connector()


class OverSftp(Folder):
    """The same on another machine."""

    touching_changes = True

    def opened(self, root: Path) -> Drop:
        (root / "drop").mkdir()
        self.door = ExitStack()
        return Served(root, served(self.door.enter_context(ssh.serving(root / "drop", HOST_KEY, USER_KEY))))

    def teardown(self) -> None:
        if hasattr(self, "door"):
            self.door.close()
        super().teardown()


TestOverSftp = pytest.mark.all(OverSftp.TestCase)
TestOverSftp.settings = settings(quick, max_examples=15)

TestLonger = pytest.mark.all(Longer.TestCase)
TestLonger.settings = settings(quick, max_examples=200, stateful_step_count=25, derandomize=False)


def test_a_touched_file_is_hashed_once_where_it_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = Drop(tmp_path)
    path = drop.write("sales_1.csv", HEADER + "a,1\n")
    stream = drop.stream(when_changed="read_again")
    planned = drop.connector.plan(stream, "incremental", Mark())
    assert planned.window is not None
    mark = Mark(files=tuple(_as_read(each) for each in drop.extract(stream, planned.window).facts["files"]))
    hashed: list[Any] = []
    new = xxhash.xxh3_128

    def noted() -> Any:
        hashed.append(new())
        return hashed[-1]

    monkeypatch.setattr(xxhash, "xxh3_128", noted)
    for second in (1_800_000_000, 1_800_000_010):
        os.utime(path, (second, second))
        hashed.clear()
        for _ in range(3):
            planned = drop.connector.plan(stream, "incremental", mark)
            assert planned.window is None
            mark = replace(mark, touched=planned.touched)
        assert len(hashed) == 1
    # Other bytes of the same length.
    path.write_text(HEADER + "a,2\n")
    os.utime(path, (1_800_000_020, 1_800_000_020))
    assert drop.connector.plan(stream, "incremental", mark).window is not None
