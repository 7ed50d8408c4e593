"""A connector whose work is done by another program, `own_child`: what docs/add-a-connector.md says of such a one."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
from pydantic import BaseModel, TypeAdapter

from dataplane.connectors.base import Capabilities, Connector, Stage
from dataplane.connectors.fields import secret_field
from dataplane.connectors.reading import Reading
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import Mark, Planned, ReadMode, Window
from dataplane.engine import connector_instance
from dataplane.errors import DataError, ManifoldError, TransientError, from_json
from dataplane.relations import identifier

_GIVEN = "given_by_the_child"
_LONGEST_LINE = 1 << 20
_LARGEST_BATCH = 64 << 20

_columns = TypeAdapter(tuple[Column, ...])
_info = TypeAdapter(StreamInfo)
_planned = TypeAdapter(Planned)
_window = TypeAdapter(Window)
_mark = TypeAdapter(Mark)
_stream = TypeAdapter(StreamConfig)


class OwnParams(BaseModel):
    path: str
    password: str = secret_field("Password")


class Voice(io.RawIOBase):
    """What a program says; it is not waited for longer than `patience` seconds at a time."""

    def __init__(self, said: int, patience: float) -> None:
        self._said, self.patience = said, patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not waited(self._said, select.POLLIN, self.patience):
            raise silent(self.patience)
        found = os.read(self._said, len(buffer))
        buffer[: len(found)] = found
        return len(found)


class Child:
    """A program that was asked one thing."""

    closed = False

    def __init__(self, process: subprocess.Popen[bytes], patience: float) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.process, self._asked = process, process.stdin.fileno()
        self.voice = Voice(process.stdout.fileno(), patience)
        self._said = io.BufferedReader(self.voice)

    def ask(self, question: dict[str, Any]) -> None:
        """Its standard input stays open, so that it learns when nobody is there any more."""
        os.set_blocking(self._asked, False)
        left = json.dumps(question).encode() + b"\n"
        while left:
            if not waited(self._asked, select.POLLOUT, self.voice.patience):
                raise silent(self.voice.patience)
            try:
                left = left[os.write(self._asked, left) :]
            except BrokenPipeError:
                raise self.gone() from None

    def line(self) -> dict[str, Any]:
        """The next line. Raises ManifoldError, also the one that it tells."""
        said = self._said.readline(_LONGEST_LINE)
        if not said.endswith(b"\n") and len(said) < _LONGEST_LINE:
            raise self.gone()
        with understood(said):
            value: dict[str, Any] = json.loads(said)
            error = from_json(value["error"]) if "error" in value else None
        if error is not None:
            raise error
        return value

    def lines(self, name: str) -> Iterator[Any]:
        """What its lines hold under this name, up to the one that says that it is done."""
        while "done" not in (line := self.line()):
            with understood(line):
                value = line[name]
            yield value

    def read(self, size: int) -> bytes:
        """For the reader of Arrow, to which any four bytes are a length."""
        if size > _LARGEST_BATCH:
            raise nonsense(f"a batch of {size} bytes")
        return self._said.read(size)

    def rows(self) -> pa.RecordBatchReader:
        with self._arrow():
            return pa.ipc.open_stream(pa.PythonFile(self, mode="r"))

    def batches(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self._arrow():
            yield from rows

    @contextmanager
    def _arrow(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise self.gone() if not self._said.peek(1) else nonsense(error) from error

    def gone(self) -> TransientError:
        """The error for one that has ended before it was done."""
        try:
            status = self.process.wait(self.voice.patience)
        except subprocess.TimeoutExpired:
            return silent(self.voice.patience)
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return TransientError(
            f"The program that reads the source ended {how} before it was done. The next try reads the same again.",
            code="connection_lost",
            evidence={"status": status},
        )


class OwnProcess(Connector):
    """Each question is put to a program of its own, which is ended with the answer."""

    key = "own_process"
    title = "Program"
    family = "stream"
    summary = "Tables that another program reads, and remembers how far"
    capabilities = Capabilities(incremental=True, schema_inference=True, resumable=True)
    Params = OwnParams
    program: ClassVar[Path] = Path(__file__).with_name("own_child.py")
    patience: ClassVar[float] = 60.0

    def test(self) -> Iterator[Stage]:
        began = time.monotonic()
        try:
            with self.asked("test") as child:
                for told in child.lines("stage"):
                    error = from_json(told.pop("error")) if "error" in told else None
                    yield Stage(**told, error=error)
        except ManifoldError as error:
            yield Stage("answer", False, time.monotonic() - began, error.message, error)

    def discover(self) -> list[StreamInfo]:
        with self.asked("discover") as child, understood("the streams"):
            return [_info.validate_python(each) for each in child.lines("stream")]

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        question = {"stream": _json(_stream, stream), "mode": mode, "mark": _json(_mark, mark)}
        with self.asked("plan", **question) as child, understood("the plan"):
            (planned,) = child.lines("planned")
            return _planned.validate_python(planned)

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        with self.asked("read", stream=_json(_stream, stream), window=window.as_json()) as child:
            told = child.line()
            with understood(told):
                columns = _columns.validate_python(told["columns"])
            items = ", ".join(
                f"CAST({identifier(each.name)} AS {each.type}) AS {identifier(each.name)}" for each in columns
            )
            reading = Reading(f"SELECT {items} FROM {_GIVEN}", columns)
            failures: list[ManifoldError] = []
            rows = child.rows()
            given = pa.RecordBatchReader.from_batches(rows.schema, self.flowing(child, rows, reading, failures))
            connection.register(_GIVEN, given)
            try:
                yield reading
            except (duckdb.Error, ManifoldError) as error:
                # DuckDB knows only that the rows broke off; why, is known here.
                raise (failures[0] if failures else error) from error
            finally:
                connection.unregister(_GIVEN)

    def flowing(
        self, child: Child, rows: pa.RecordBatchReader, reading: Reading, failures: list[ManifoldError]
    ) -> Iterator[pa.RecordBatch]:
        """A stream of Arrow that was cut off may look like one that has ended: the last line tells that it has."""
        try:
            for batch in child.batches(rows):
                yield batch
                self.arrived(child)
            for settled in child.lines("settled"):
                with understood(settled):
                    reading.settled = _window.validate_python(settled)
        except ManifoldError as error:
            failures.append(error)
            raise

    def arrived(self, child: Child) -> None:
        """A batch is through; tests have something happen here."""

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        with connector_instance(threads=1) as duck, self.read(stream, Window("full"), duck) as reading:
            return duck.execute(f"{reading.query} LIMIT {int(limit)}").to_arrow_table()

    @contextmanager
    def asked(self, do: str, **question: Any) -> Iterator[Child]:
        """The worker's environment holds the installation's secrets, so the program is given none of it."""
        process = subprocess.Popen(
            [sys.executable, "-I", str(self.program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd=os.sep,
            start_new_session=True,
        )
        try:
            child = Child(process, self.patience)
            child.ask({"do": do, "params": self.params.model_dump(mode="json"), **question})
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for each in (process.stdin, process.stdout):
                if each is not None:
                    each.close()


def waited(file: int, event: int, seconds: float) -> bool:
    """Whether it can be read from, or written to, in time."""
    poll = select.poll()
    poll.register(file, event)
    return bool(poll.poll(seconds * 1000))


@contextmanager
def understood(said: object) -> Iterator[None]:
    """Whatever cannot be made sense of within is nonsense."""
    try:
        yield
    except (ValueError, LookupError, TypeError) as error:
        raise nonsense(said) from error


def nonsense(said: object) -> DataError:
    return DataError(
        "The program that reads the source says what nobody understands. Install the version that belongs to this one.",
        code="invalid_input",
        evidence={"said": str(said)[:200]},
    )


def silent(seconds: float) -> TransientError:
    return TransientError(
        f"The program that reads the source has said nothing for {seconds:g} seconds, and was ended.",
        code="answer_timeout",
    )


def _json(adapter: TypeAdapter[Any], value: object) -> Any:
    return adapter.dump_python(value, mode="json")
