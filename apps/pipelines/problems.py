"""What is wrong with a document: where, what, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dataplane.errors import ConfigurationError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One fault of a document. `path` reads like `steps.sound.check.rules[1].range`; lines and columns count from 1."""

    path: str
    line: int
    column: int
    message: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class DocumentError(ConfigurationError):
    """A document that cannot be used; `problems` says everything that is wrong with it, in the order of its lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        where = f"{first.path}, line {first.line}" if first.path else f"line {first.line}"
        super().__init__(
            f"{where}: {first.message} {first.remedy}".rstrip() + more,
            code="document_invalid",
            evidence={"errors": [{"field": each.path, **each.as_json()} for each in self.problems]},
        )


def path_text(path: Path) -> str:
    """`("steps", "a", "rules", 1)` as `steps.a.rules[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
