"""The ticks of the audit log."""

from __future__ import annotations

from celery import shared_task

from apps.audit import sealing


@shared_task(name="apps.audit.tasks.seal")
def seal() -> None:
    """Seal what is old enough."""
    sealing.seal()
