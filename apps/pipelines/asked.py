"""What a run was asked for: in which mode, which of its steps, and which of the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.audit.refusals import Invalid
from apps.pipelines.models import Run
from dataplane.steps.plan import Picked


@dataclass(frozen=True)
class Asked:
    """only: these steps, with everything that they need; all where there are none. picked: the files that it reads
    where not all that are new."""

    mode: str
    only: tuple[str, ...] = ()
    picked: Picked | None = None

    @classmethod
    def by(cls, mode: str, only: Sequence[str], files: Sequence[str], *, again: bool) -> Asked:
        """What somebody asks for. Raises Invalid for files that do not go with the mode."""
        if files and mode not in ("auto", "incremental"):
            raise Invalid("files", f"A run with mode {mode} picks no files. Use auto.", code="files_and_mode")
        if again and not files:
            raise Invalid("again", "Say which files are to be read again.", code="no_files")
        return cls(mode, tuple(only), Picked(tuple(files), again) if files else None)

    @classmethod
    def of(cls, run: Run) -> Asked:
        """What a run was asked for that is there."""
        return cls(run.requested_mode, tuple(run.only), Picked(tuple(run.files), run.again) if run.files else None)

    def same(self, other: Asked) -> bool:
        """Whether both ask for the same, in whatever order."""
        return self._unordered() == other._unordered()

    def _unordered(self) -> tuple[str, frozenset[str], frozenset[str], bool]:
        files, again = (self.picked.files, self.picked.again) if self.picked else ((), False)
        return self.mode, frozenset(self.only), frozenset(files), again
