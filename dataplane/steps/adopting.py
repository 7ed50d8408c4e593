"""Staged files under names of a step's own: they live on when the step that wrote them has gone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from dataplane.engine import disk_error
from dataplane.errors import CancelledError
from dataplane.steps.base import StagedFile, StepContext
from dataplane.storage import Storage


def adopt(context: StepContext, files: Sequence[StagedFile]) -> tuple[StagedFile, ...]:
    """Give files names below the step's output, flush them, and hash those that nobody has hashed yet."""
    return _Adoption(context).all(files)


class _Adoption:
    """Gives files a name of this step's own and hashes those that nobody has hashed yet, two at a time."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.stopped = False
        context.on_cancel(self.stop)

    def stop(self) -> None:
        self.stopped = True

    def all(self, files: Sequence[StagedFile]) -> tuple[StagedFile, ...]:
        with ThreadPoolExecutor(max_workers=max(1, min(2, self.context.threads))) as pool:
            return tuple(pool.map(self._one, range(len(files)), files))

    def _one(self, position: int, file: StagedFile) -> StagedFile:
        if self.stopped:
            raise CancelledError
        storage: Storage = self.context.storage
        target = f"{self.context.output}/{position:05d}.parquet"
        try:
            storage.link(file.path, target)
            storage.flush(target)
            digest = file.sha256 or storage.sha256(target)
        except OSError as error:
            raise disk_error(error) from error
        progress = self.context.progress
        progress.rows += file.rows
        progress.bytes += file.bytes
        return replace(file, path=target, sha256=digest)
