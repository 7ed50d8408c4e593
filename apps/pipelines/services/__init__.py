"""Every write on pipelines and runs that a person or a trigger asks for. Each is one transaction, with its actor."""

from __future__ import annotations

from apps.pipelines.services.editing import (
    apply_document,
    create_pipeline,
    delete_pipeline,
    mark_of,
    publish_draft,
    save_draft,
    text_of,
    validate,
    write_part,
    write_retry,
)
from apps.pipelines.services.running import MODES, cancel_run, plan_run, retry_run, start_run

__all__ = [
    "MODES",
    "apply_document",
    "cancel_run",
    "create_pipeline",
    "delete_pipeline",
    "mark_of",
    "plan_run",
    "publish_draft",
    "retry_run",
    "save_draft",
    "start_run",
    "text_of",
    "validate",
    "write_part",
    "write_retry",
]
