"""One row a measurement, the machine it was taken on, and the two files they end up in."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

FOLDER = Path(__file__).parent


@dataclass
class Row:
    """A figure, the limit measured in the same run, and what is asked of their ratio or of the figure alone.

    ours and limit hold every measurement, in `unit`; the median is what counts. at_most is a ratio where there is a
    limit, else a figure in `unit`.
    """

    work: str
    ours: list[float]
    at_most: float
    unit: str = "s"
    limit: list[float] = field(default_factory=list)
    limit_name: str = ""
    memory_mb: float | None = None
    memory_at_most_mb: float | None = None
    note: str = ""

    @property
    def figure(self) -> float:
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float | None:
        return self.figure / statistics.median(self.limit) if self.limit else None

    @property
    def met(self) -> bool:
        quick = (self.figure if self.ratio is None else self.ratio) <= self.at_most
        small = self.memory_mb is None or self.memory_at_most_mb is None or self.memory_mb <= self.memory_at_most_mb
        return quick and small


def in_turn(rounds: int, ours: Callable[[], float], limit: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure both alternately, so that a machine whose speed drifts slows both."""
    first: list[float] = []
    second: list[float] = []
    for _ in range(rounds):
        second.append(limit())
        first.append(ours())
    return first, second


def machine() -> dict[str, Any]:
    return {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "duckdb": version("duckdb"),
        "celery": version("celery"),
    }


def write(rows: list[Row], name: str = "results") -> str:
    """Write `<name>.json` and `<name>.md` and return the table."""
    about = machine()
    kept = {"machine": about, "rows": [asdict(each) | {"ratio": each.ratio, "met": each.met} for each in rows]}
    (FOLDER / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    facts = ", ".join(f"{key} {value}" for key, value in about.items())
    how = "Medians, with the lowest and highest; limit and figure taken in turn in one run"
    text = f"# Measured\n\n{facts}. {how}.\n\n{table(rows)}\n"
    (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def table(rows: list[Row]) -> str:
    lines = ["| work | Manifold | limit | ratio | at most | memory | met |", "|---|---|---|---|---|---|---|"]
    for each in rows:
        limit = f"{_spread(each.limit, each.unit)} ({each.limit_name})" if each.limit else "–"
        ratio = f"{each.ratio:.2f}" if each.ratio is not None else "–"
        asked = f"{each.at_most:g}" + ("" if each.limit else f" {each.unit}")
        memory = _memory(each)
        met = "yes" if each.met else "**no**"
        lines.append(
            f"| {each.work} | {_spread(each.ours, each.unit)} | {limit} | {ratio} | {asked} | {memory} | {met} |"
        )
        if each.note:
            lines[-1] = lines[-1].replace(f"| {each.work} |", f"| {each.work} ({each.note}) |")
    return "\n".join(lines)


def _spread(measured: list[float], unit: str) -> str:
    """The median, and behind it the lowest and the highest where there are several."""
    between = f", {min(measured):.2f} to {max(measured):.2f}" if len(measured) > 1 else ""
    return f"{statistics.median(measured):.2f} {unit}{between}"


def _memory(row: Row) -> str:
    if row.memory_mb is None:
        return "–"
    asked = "" if row.memory_at_most_mb is None else f" of {row.memory_at_most_mb:.0f}"
    return f"{row.memory_mb:.0f}{asked} MB"
