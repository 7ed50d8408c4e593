"""What planning asks of a server in the same words everywhere; `planning.Questions` says what each answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic

from dataplane.connectors.databases.reading import Cursor, Prepared
from dataplane.connectors.windows import Window


@dataclass(frozen=True)
class Asked(ABC, Generic[Cursor]):
    """A prepared stream, of which `_one` asks its server. Each question may raise the driver's errors."""

    prepared: Prepared[Cursor]

    @abstractmethod
    def _one(self, sql: str) -> Any:
        """The first value of the first row; None where there is none."""

    @property
    def stream(self) -> str:
        return self.prepared.stream.name

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.prepared.warnings

    @property
    def cursor(self) -> str | None:
        return self.prepared.cursor.name if self.prepared.cursor else None

    @property
    def _cursor(self) -> Cursor:
        assert self.prepared.cursor is not None
        return self.prepared.cursor

    def later(self, one: str, other: str) -> bool:
        return bool(self._one(f"SELECT {self._cursor.value(one)} > {self._cursor.value(other)}"))

    def counted(self, window: Window) -> int:
        return self._counted(window)

    def counted_alone(self, window: Window) -> int:
        """The rows that belong to a window alone, without those before its `lower`."""
        if window.kind != "cursor" or window.lower is None:
            return self._counted(window)
        return self._counted(window, f" AND {self._cursor.sql} > {self._cursor.value(window.lower)}")

    def _counted(self, window: Window, tail: str = "") -> int:
        return int(self._one(f"SELECT count(*) FROM {self.prepared.origin}{self.prepared.where(window)}{tail}") or 0)

    def _kept(self) -> str:
        """The rows of the stream, after FROM, ready for one more condition."""
        return f"{self.prepared.origin}{self.prepared.where(None) or ' WHERE true'}"
