"""Spill folders whose execution is over: the worker that died could not remove them."""

from __future__ import annotations

import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

from apps.audit.ticks import tick
from apps.pipelines.execution import frame
from apps.pipelines.models import StepRun

# A folder that is being made is left alone.
_YOUNG = 60.0


@tick
def remove_spill() -> None:
    """Remove every spill folder that no running execution owns."""
    root = frame.spill_root()
    folders = [each for each in root.glob("*/*") if _is_old(each)]
    steps = [step for each in folders if (step := _step_id(each)) is not None]
    rows = StepRun.objects.filter(pk__in=steps, state="running").values_list("pk", "fence")
    running = {(str(pk), str(fence)) for pk, fence in rows}
    for each in folders:
        if (each.parent.name, each.name) not in running:
            shutil.rmtree(each, ignore_errors=True)
    for each in root.glob("*"):
        # What is not empty, or was removed by another machine's tick, stays as it is.
        if _is_old(each):
            with suppress(OSError):
                each.rmdir()


def _step_id(folder: Path) -> uuid.UUID | None:
    try:
        return uuid.UUID(folder.parent.name)
    except ValueError:
        return None


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _YOUNG
    except FileNotFoundError:
        return False
