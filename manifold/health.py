"""Whether the process lives, whether it can serve, and what each of its dependencies says.

These pages are open: they name states and times, never addresses or reasons. `components()` has the reasons.
"""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from manifold import probes
from manifold.celery import app
from manifold.probes import Finding, Unwell

WORKER_ANSWERS_WITHIN = 1.0


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process lives; asks nothing of anybody else."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """It can serve: the database answers and has the tables this code expects."""
    return _answer([probes.ask("database", _database_answers), probes.ask("migrations", migrations)])


@require_safe
def startupz(request: HttpRequest) -> JsonResponse:
    """Every dependency, each with its state and time."""
    return _answer(components())


def components() -> list[Finding]:
    """Every dependency of a running platform, with details for whoever may see them."""
    return probes.ask_all(
        [
            ("database", _database_answers),
            ("migrations", migrations),
            ("clock", probes.clock),
            ("broker", probes.broker),
            ("workers", workers),
            ("storage", probes.storage),
            ("disk", probes.disk),
            ("memory", probes.memory),
            ("keys", probes.keys),
            ("files", probes.file_roots),
        ]
    )


def migrations() -> str:
    """The tables are those of this code."""
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise Unwell("The tables cannot be read.", "See the database's own line.") from error
    if waiting:
        raise Unwell(
            f"{len(waiting)} migrations have not been applied.",
            "Run `manage.py migrate`; `manifold up` does it itself.",
        )
    return "applied"


def workers() -> str:
    """A worker for the steps and one for the system's own work answer."""
    try:
        answers = app.control.ping(timeout=WORKER_ANSWERS_WITHIN, limit=2)
    except (OSError, RedisError, BrokerError) as error:
        raise Unwell(
            "The workers cannot be asked: the broker does not answer.", "See the broker's own line."
        ) from error
    names = sorted({name for answer in answers or [] for name in answer})
    missing = {"worker", "system"} - {name.partition("@")[0] for name in names}
    if missing:
        raise Unwell(
            f"No answer from: {', '.join(sorted(missing))}.",
            "Look at the log of that worker; `manifold up` starts both, `celery -A manifold worker -n system@%h` one.",
        )
    return ", ".join(names)


def _database_answers() -> str:
    """By the connection that requests use, so that its own trouble shows."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        raise Unwell(
            f"PostgreSQL does not answer: {str(error).strip()}", "Start it, or correct DATABASE_URL."
        ) from error
    return "answers"


def _answer(findings: list[Finding]) -> JsonResponse:
    well = all(finding.up for finding in findings)
    dependencies = [{"name": each.name, "up": each.up, "seconds": each.seconds} for each in findings]
    return JsonResponse(
        {"status": "ok" if well else "unavailable", "dependencies": dependencies},
        status=200 if well else 503,
        headers={"Cache-Control": "no-store"} | ({} if well else {"Retry-After": "5"}),
    )
