"""What a kind of step is: a model of its document part, the inputs it names, and one function from files to files.

Stages meet only on disk. A step reads the Parquet files of its inputs and writes new ones into a folder of its own that
nobody else will ever write to; whether they count is decided afterwards, by rows, in one transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from dataplane.provenance import Origin
from dataplane.steps.log import Log
from dataplane.storage import Storage


class Spec(BaseModel):
    """Base of the document part of every kind: unknown keys are refused, and the refusal names the path."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class ColumnType:
    """Name and DuckDB type of a column in a staged table."""

    name: str
    type: str
    nullable: bool = True


# Every file of rejected rows has these columns, whoever wrote it, so that they can be read together for ever: where the
# row came from, why it was set aside, and the row as it was (a line of the source, or the row's columns as JSON).
REJECTED_COLUMNS = (
    ColumnType("file", "VARCHAR"),
    ColumnType("row", "BIGINT"),
    ColumnType("reason", "VARCHAR"),
    ColumnType("raw", "VARCHAR"),
)


@dataclass(frozen=True)
class StagedFile:
    """One Parquet file: `path` relative to the storage root."""

    path: str
    rows: int
    bytes: int
    sha256: str = ""


@dataclass(frozen=True)
class Table:
    """What one step hands to the next: files that share one schema. No file at all is an empty table of that schema.

    origins: which source files the rows of a staged file came from, where they came from files.
    """

    columns: tuple[ColumnType, ...]
    files: tuple[StagedFile, ...] = ()
    rejected: tuple[StagedFile, ...] = ()
    origins: tuple[Origin, ...] = ()

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.files)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.files)

    def as_json(self) -> dict[str, Any]:
        return {
            "columns": [vars(each) for each in self.columns],
            "files": [vars(each) for each in self.files],
            "rejected": [vars(each) for each in self.rejected],
            "origins": [each.as_json() for each in self.origins],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Table:
        return cls(
            columns=tuple(ColumnType(**each) for each in value["columns"]),
            files=tuple(StagedFile(**each) for each in value["files"]),
            rejected=tuple(StagedFile(**each) for each in value["rejected"]),
            origins=tuple(Origin.from_json(each) for each in value.get("origins", ())),
        )


@dataclass
class Progress:
    """What a running step tells its heartbeat; plain attributes, read from another thread.

    waits_since: since when it waits for others, which it may do more than once; waited: seconds of the waits that are
    over. look: brings `fraction` up to date, where it is known to whoever asks only. show: has what stands here shown
    at once, not with the next beat.
    """

    rows: int = 0
    bytes: int = 0
    fraction: float | None = None
    detail: str = ""
    waits_since: datetime | None = None
    waited: float = 0.0
    look: Callable[[], None] | None = None
    show: Callable[[], None] = lambda: None

    def as_json(self) -> dict[str, Any]:
        """How it stands now; may be called from another thread."""
        look = self.look
        if look is not None:
            look()
        return {
            "rows": self.rows,
            "bytes": self.bytes,
            "fraction": self.fraction,
            "detail": self.detail,
            "waits_since": self.waits_since and self.waits_since.isoformat(),
            "waited": round(self.waited, 3),
        }


@dataclass
class StepContext:
    """Everything a step may use. It reaches no database and no catalogue.

    inputs: by the name the step's spec gives them. output: folder below the storage root that contains the fence; the
    step creates it. spill: an absolute folder for DuckDB's temporary files, of this step alone. memory: bytes for
    DuckDB. extras: what a kind needs beyond its spec and inputs (the extract's connector and window, for instance),
    made by its adapter in the run engine. on_cancel: register a callable that interrupts the work; it may be called
    from another thread.
    """

    key: str
    storage: Storage
    inputs: dict[str, Table]
    output: str
    spill: str
    memory: int
    threads: int
    progress: Progress = field(default_factory=Progress)
    extras: dict[str, Any] = field(default_factory=dict)
    interrupts: list[Callable[[], object]] = field(default_factory=list)
    log: Log = field(default_factory=Log)

    def on_cancel(self, interrupt: Callable[[], object]) -> None:
        self.interrupts.append(interrupt)


@dataclass
class StepResult:
    """What a step made. `checks` and `facts` are stored with the step; `table` is None for kinds that only look.

    rows_out: where it is not the rows of the table, because its files hold rows that were there before, too.
    """

    table: Table | None = None
    rows_in: int = 0
    rows_out: int | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class StepKind(ABC):
    """Base of every kind of step. Kinds are registered by name in `dataplane.steps.registry`."""

    kind: ClassVar[str]
    Spec: ClassVar[type[Spec]]

    @classmethod
    @abstractmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        """The inputs a spec names: name within the step -> id of another step, or `DatasetInput`."""

    @classmethod
    @abstractmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        """From input files to output files. Raises ManifoldError; anything else is our bug."""


class DatasetInput(Spec):
    """An input that is a dataset: its head, or the snapshot that this very run loads."""

    dataset: str
