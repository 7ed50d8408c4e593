"""What Celery calls: three-line shells around the run engine."""

from __future__ import annotations

import os
import socket
import uuid

from billiard.exceptions import WorkerLostError
from celery import Task, shared_task
from celery.signals import task_failure
from django.db import connection

from apps.pipelines import collecting, costs, freshness, inboxes, ingestion, scheduling, watching
from apps.pipelines.execution import leftovers, reaper, sweeps, turns
from apps.pipelines.execution.dispatch import TASK


@shared_task(name=TASK, bind=True)
def run_step(self: Task, step: str) -> None:
    turns.take_turn(uuid.UUID(step), worker_name(self.request.id), may_exit=not self.request.is_eager)


@shared_task
def sweep() -> None:
    sweeps.sweep()


@shared_task
def reap() -> None:
    reaper.reap()
    leftovers.remove_spill()
    collecting.sweep()
    ingestion.forget_old()


@shared_task
def schedules() -> None:
    scheduling.fire_schedules()


@shared_task
def watch_freshness() -> None:
    freshness.watch()


@shared_task
def prune_inboxes() -> None:
    inboxes.prune()


@shared_task
def watch_spending() -> None:
    costs.watch()


@shared_task
def watch() -> None:
    watching.watch()


def worker_name(message: str) -> str:
    """`machine:process/message`: the end says which message holds the claim when a process dies."""
    return f"{socket.gethostname()}:{os.getpid()}/{message}"[-200:]


@task_failure.connect
def step_lost_its_worker(sender: Task, task_id: str, exception: BaseException, **_: object) -> None:
    """Runs in the worker's main process when a child has died."""
    if sender.name == TASK and isinstance(exception, WorkerLostError):
        try:
            reaper.worker_died(task_id)
        finally:
            # The next child is forked from this process and must not share its connection.
            connection.close()
