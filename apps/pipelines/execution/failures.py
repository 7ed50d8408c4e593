"""Any exception as one of the six classes. Steps raise what they know; here stands what can happen to all of them."""

from __future__ import annotations

import errno
import uuid
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError

from apps.pipelines.models import Run
from dataplane.errors import BugError, InfrastructureError, ManifoldError, TransientError

log = structlog.get_logger(__name__)


def classify(error: BaseException) -> ManifoldError:
    """The error that is stored and shown. The traceback of anything unknown goes to the log, under a reference."""
    if isinstance(error, ManifoldError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InfrastructureError(
            "The disk is full. Make room below MANIFOLD_HOME and the storage folder.",
            code="disk_full",
            evidence={"file": error.filename},
        )
    if isinstance(error, OSError) and error.filename is not None:
        return InfrastructureError(
            f"A file or folder could not be used: {error.strerror}. Look after the storage folder and MANIFOLD_HOME: "
            "both have to be there, and writable for the worker's account.",
            code="storage_write",
            evidence={"file": str(error.filename)},
        )
    if isinstance(error, MemoryError):
        return InfrastructureError(
            "The step ran out of memory. Give it more (MANIFOLD_STEP_MEMORY) or run fewer steps at a time.",
            code="out_of_memory",
        )
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("step_lost_its_database", error=str(error).partition("\n")[0])
        return TransientError("Manifold's own database did not answer. Look at its log.", code="database")
    return _bug(error)


def timed_out(seconds: int) -> ManifoldError:
    """What a step over its time limit fails with."""
    return TransientError(
        f"The step took longer than its timeout of {seconds} s. Raise `timeout` or give it less to do.",
        code="timeout",
        evidence={"timeout_s": seconds},
    )


def as_json(error: ManifoldError, run: Run) -> dict[str, Any]:
    """The `error` shape of the API: with the last run of the pipeline that succeeded."""
    good = Run.objects.filter(pipeline_id=run.pipeline_id, state="succeeded").order_by("-id")
    last = good.values_list("id", flat=True).first()
    return {**error.as_json(), "last_good_run": None if last is None else str(last)}


def _bug(error: BaseException) -> BugError:
    reference = uuid.uuid4().hex[:12]
    log.error("step_raised_a_bug", reference=reference, exc_info=error)
    return BugError(
        f"Manifold made a mistake of its own ({type(error).__name__}). The worker's log says more under {reference}.",
        code="bug",
        evidence={"reference": reference},
    )
