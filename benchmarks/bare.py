"""The limit of a run: Celery alone, with two durable transactions for each task, and nothing else.

The tasks keep their state in PostgreSQL and send the next one themselves, which is quicker than Celery's own chains.
"""

from __future__ import annotations

import os
from functools import cache

import psycopg
from celery import Celery

app = Celery("bare", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_send_task_events=True,
    broker_connection_retry_on_startup=True,
    task_default_queue="bare",
)


@cache
def database() -> psycopg.Connection:
    """The one connection of this process, opened by its first task."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def prepare() -> None:
    database().execute("DROP TABLE IF EXISTS bare_task")
    database().execute("CREATE TABLE bare_task (number int PRIMARY KEY, state text NOT NULL DEFAULT 'ready')")


def reset(count: int) -> None:
    database().execute("TRUNCATE bare_task")
    database().execute("INSERT INTO bare_task SELECT generate_series(1, %s)", [count])


def done() -> int:
    row = database().execute("SELECT count(*) FROM bare_task WHERE state = 'done'").fetchone()
    assert row is not None
    return int(row[0])


@app.task(name="bare.work")
def work(number: int, last: int) -> None:
    """One step; sends the next one up to `last`, or none when `last` is 0."""
    database().execute("UPDATE bare_task SET state = 'running' WHERE number = %s AND state = 'ready'", [number])
    database().execute("UPDATE bare_task SET state = 'done' WHERE number = %s AND state = 'running'", [number])
    if number < last:
        work.delay(number + 1, last)
