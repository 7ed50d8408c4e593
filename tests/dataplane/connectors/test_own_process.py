"""A connector may run in a process of its own: it is tested, discovered, planned and read as any other, whatever
becomes of that process."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dataplane.connectors import registry
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance
from dataplane.errors import CancelledError, ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.steps.base import StepContext
from dataplane.steps.extract import ExtractSpec, ExtractStep
from dataplane.steps.plan import Ask, answer
from tests.cluster import ROOT
from tests.dataplane.connectors.own_process import Child, OwnProcess
from tests.dataplane.steps.files_source import context, extracted, rows

pytestmark = pytest.mark.all

PASSWORD = "Correct-Horse-9"
MANY = 15_000
"""Rows enough for batches that no pipe holds at once."""


@pytest.fixture
def connector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnProcess:
    """Built as any other is: by one line of the registry."""
    path = f"{OwnProcess.__module__}.{OwnProcess.__name__}"
    monkeypatch.setitem(registry._CONNECTORS, OwnProcess.key, path)
    with sqlite3.connect(tmp_path / "source.sqlite") as database:
        database.execute("CREATE TABLE door (password TEXT)")
        database.execute("INSERT INTO door VALUES (?)", [PASSWORD])
        database.execute("CREATE TABLE orders (id INTEGER, what TEXT, price REAL)")
    add(tmp_path, 3)
    return made(tmp_path)


def made(root: Path, password: str = PASSWORD) -> OwnProcess:
    found = registry.build(OwnProcess.key, {"path": str(root / "source.sqlite"), "password": password})
    assert isinstance(found, OwnProcess)
    return found


def add(root: Path, count: int, *, after: int = 0) -> None:
    with sqlite3.connect(root / "source.sqlite") as database:
        numbers = range(after + 1, after + count + 1)
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(i, f"thing {i:010}", i / 4) for i in numbers])


def stream(connector: OwnProcess) -> StreamConfig:
    (found,) = connector.discover()
    return StreamConfig(found.name, settings=found.settings, columns=found.columns)


def run(context: StepContext) -> set[int]:
    """The numbers of the rows that a step has staged, each of them once."""
    result = ExtractStep.run(context, ExtractSpec(source="drop", stream="orders"))
    found = [number for number, *_ in rows(Path(context.storage.root).parent, result)]
    assert len(found) == len(set(found))
    return set(found)


def reading(root: Path, connector: OwnProcess, window: Window) -> StepContext:
    return context(root, connector=connector, stream=stream(connector), window=window)


def ended(process: int) -> bool:
    """Whether it has gone, or waits only for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def when_arrived(monkeypatch: pytest.MonkeyPatch, happens: Callable[[Child], object]) -> list[int]:
    """Have something happen to the child once a first batch is through; answers with the children it happened to."""
    happened: list[int] = []

    def arrived(self: OwnProcess, child: Child) -> None:
        if not happened:
            happened.append(child.process.pid)
            happens(child)

    monkeypatch.setattr(OwnProcess, "arrived", arrived)
    return happened


def instead(root: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have another program run."""
    program = root / "another.py"
    program.write_text(code)
    monkeypatch.setattr(OwnProcess, "program", program)


def test_it_is_tested_discovered_planned_and_read(connector: OwnProcess, tmp_path: Path) -> None:
    assert [(each.name, each.ok, each.detail) for each in connector.test()] == [("open", True, "The file is open.")]
    orders = stream(connector)
    assert [(each.name, each.type) for each in orders.columns] == [
        ("id", "BIGINT"),
        ("what", "VARCHAR"),
        ("price", "DOUBLE"),
    ]
    assert connector.preview(orders, 1).to_pylist() == [{"id": 1, "what": "thing 0000000001", "price": 0.25}]
    found = extracted(tmp_path, connector, orders, Window("full"), columns=["price", "id"], filter="id > 1")
    assert sorted(rows(tmp_path, found)) == [(0.5, 2), (0.75, 3)]


def test_each_read_goes_on_where_the_program_has_said_that_it_stopped(connector: OwnProcess, tmp_path: Path) -> None:
    orders, mark = stream(connector), Mark()
    for expected in ({1, 2, 3}, {4, 5}):
        planned = answer(Ask(connector, orders, "incremental", mark)).planned
        assert planned is not None and planned.window is not None
        result = extracted(tmp_path, connector, orders, Window.from_json(planned.window.as_json()))
        assert {number for number, *_ in rows(tmp_path, result)} == expected
        settled = Window.from_json(result.facts["settled"])
        assert settled.messages == len(expected)
        # What stands in a bound is the program's own affair.
        assert json.loads(settled.spans[0].upper) == {"id": max(expected)}
        mark = Mark(spans=settled.spans)
        nothing = answer(Ask(connector, orders, "incremental", mark)).planned
        assert nothing is not None and (nothing.window, nothing.reason) == (None, "orders has nothing new.")
        add(tmp_path, 2, after=3)


def test_its_errors_keep_their_class_their_code_and_their_words(connector: OwnProcess, tmp_path: Path) -> None:
    (stage,) = made(tmp_path, "wrong").test()
    assert isinstance(stage.error, ConfigurationError)
    assert (stage.ok, stage.error.code) == (False, "authentication")
    with pytest.raises(ConfigurationError, match=r"The password is wrong\. Correct it in the source\."):
        made(tmp_path, "wrong").discover()


def test_an_error_after_rows_is_no_end_of_the_rows(connector: OwnProcess, tmp_path: Path) -> None:
    add(tmp_path, 10_000, after=3)
    with sqlite3.connect(tmp_path / "source.sqlite") as database:
        database.execute("UPDATE orders SET price = 'dear' WHERE id = 9000")
    with pytest.raises(DataError, match="orders has a value that does not fit") as caught:
        run(reading(tmp_path, connector, Window("full")))
    assert caught.value.code == "value"


def test_a_program_that_is_killed_is_tried_again_with_the_same_window(
    connector: OwnProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, MANY, after=3)
    window = connector.plan(stream(connector), "incremental", Mark()).window
    assert window is not None
    add(tmp_path, 5, after=MANY + 3)
    killed = when_arrived(monkeypatch, lambda child: child.process.kill())
    with pytest.raises(TransientError, match="ended by SIGKILL before it was done") as caught:
        run(reading(tmp_path, connector, window))
    assert (caught.value.code, len(killed)) == ("connection_lost", 1)
    again = Window.from_json(json.loads(json.dumps(window.as_json())))
    assert run(reading(tmp_path, connector, again)) == set(range(1, MANY + 4))


def test_rows_that_break_off_between_two_batches_are_not_all_there_are(
    connector: OwnProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = reading(tmp_path, connector, Window("full"))
    instead(
        tmp_path,
        monkeypatch,
        "import os, sys, json, pyarrow as pa\n"
        "print(json.dumps({'columns': [{'name': 'id', 'type': 'BIGINT'}]}), flush=True)\n"
        "batch = pa.record_batch({'id': [1, 2]})\n"
        "pa.ipc.new_stream(sys.stdout.buffer, batch.schema).write_batch(batch)\n"
        "sys.stdout.buffer.flush()\n"
        "os._exit(0)\n",
    )
    with pytest.raises(TransientError, match="ended with status 0 before it was done"):
        run(step)


def test_a_program_that_says_nothing_is_not_waited_for(
    connector: OwnProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(tmp_path, monkeypatch, "import time\ntime.sleep(60)\n")
    monkeypatch.setattr(OwnProcess, "patience", 0.1)
    with pytest.raises(TransientError, match=r"has said nothing for 0\.1 seconds, and was ended") as caught:
        connector.discover()
    assert caught.value.code == "answer_timeout"


def test_a_program_that_hangs_among_its_rows_is_ended(
    connector: OwnProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, MANY, after=3)

    def hang(child: Child) -> None:
        child.process.send_signal(signal.SIGSTOP)
        child.voice.patience = 0.1

    hung = when_arrived(monkeypatch, hang)
    with pytest.raises(TransientError, match="has said nothing for") as caught:
        run(reading(tmp_path, connector, Window("full")))
    assert (caught.value.code, [ended(each) for each in hung]) == ("answer_timeout", [True])


@pytest.mark.parametrize(
    "said",
    [
        "Welcome!",
        "[]",
        '{"column": []}',
        '{"error": "no"}',
        '{"columns": [{"name": "id", "type": "BIGINT"}]}\\nWelcome!',
    ],
    ids=["words", "no_object", "other_names", "no_error", "no_rows"],
)
def test_nonsense_is_told_as_such(
    connector: OwnProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    step = reading(tmp_path, connector, Window("full"))
    instead(tmp_path, monkeypatch, f"import sys\nsys.stdin.readline()\nprint('{said}', flush=True)\n")
    with pytest.raises(DataError, match="says what nobody understands") as caught:
        run(step)
    assert caught.value.code == "invalid_input"


def test_a_cancelled_step_ends_it(connector: OwnProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, MANY, after=3)
    step = reading(tmp_path, connector, Window("full"))
    children = when_arrived(monkeypatch, lambda child: [each() for each in step.interrupts])
    with pytest.raises(CancelledError):
        run(step)
    assert [ended(each) for each in children] == [True]


def test_it_ends_when_the_worker_is_killed(connector: OwnProcess, tmp_path: Path) -> None:
    """The program waits for a lock then, so it would not notice by writing."""
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from tests.dataplane.connectors.own_process import OwnProcess, OwnParams\n"
            "with OwnProcess(OwnParams(path=sys.argv[1])).asked('discover') as child:\n"
            "    print(child.process.pid, flush=True)\n"
            "    child.line()\n",
            str(tmp_path / "source.sqlite"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    with closing(sqlite3.connect(tmp_path / "source.sqlite", isolation_level=None)) as database, worker:
        database.execute("BEGIN EXCLUSIVE")
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        assert not ended(child)
        worker.kill()
        until = time.monotonic() + 60
        while not ended(child) and time.monotonic() < until:
            time.sleep(0.02)
        assert ended(child)


def test_a_secret_stands_in_no_list_of_processes_and_in_no_error(
    connector: OwnProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANIFOLD_MASTER_KEY", "of-the-installation")
    add(tmp_path, MANY, after=3)
    orders = stream(connector)
    seen: list[bytes] = []

    def look(child: Child) -> None:
        seen.extend(Path(f"/proc/{child.process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))

    when_arrived(monkeypatch, look)
    with connector_instance() as duck, connector.read(orders, Window("full"), duck) as found:
        assert duck.execute(f"SELECT count(*) FROM ({found.query})").fetchall() == [(MANY + 3,)]
    assert b"own_child.py" in seen[0] and not seen[1]
    assert PASSWORD.encode() not in seen[0]
    (tmp_path / "source.sqlite").unlink()
    with pytest.raises(ManifoldError) as caught:
        connector.discover()
    assert PASSWORD not in json.dumps(caught.value.as_json())
