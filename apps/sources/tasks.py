"""The ticks of sources."""

from __future__ import annotations

from celery import shared_task

from apps.sources.services import watching


@shared_task
def watch_connections() -> None:
    watching.watch_connections()
