"""Whether the process lives, whether it can serve, and what each of its dependencies says.

These pages are open: they name states and times, never addresses or reasons. `components()` has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from manifold import probes
from manifold.celery import app
from manifold.probes import Finding, Probe, Unwell

WORKER_ANSWERS_WITHIN = 1.0
# What stands on another waits in vain for as long as that did, so it is not asked.
_STANDS_ON = {"migrations": "database", "clock": "database", "workers": "broker"}
_LONG_SECONDS = 1.0


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process lives; asks nothing of anybody else."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """It can serve: the database answers and has the tables this code expects."""
    return _answer(_asked([("database", _database_answers), ("migrations", migrations)]))


@require_safe
def startupz(request: HttpRequest) -> JsonResponse:
    """Every dependency, each with its state and time."""
    return _answer(components())


def components() -> list[Finding]:
    """Every dependency of a running platform, with details for whoever may see them."""
    return _asked(
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


def in_vain(finding: Finding) -> bool:
    """Whether an answer was waited for that did not come."""
    return not finding.up and finding.seconds >= _LONG_SECONDS


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
        found = {kind: _answers_of(kind) for kind in ("worker", "system")}
    except (OSError, RedisError, BrokerError) as error:
        raise Unwell(
            "The workers cannot be asked: the broker does not answer.", "See the broker's own line."
        ) from error
    if missing := sorted(kind for kind, names in found.items() if not names):
        raise Unwell(
            f"No answer from: {', '.join(missing)}.",
            "Look at the log of that worker; `manifold up` starts both, `celery -A manifold worker -n system@%h` one.",
        )
    return ", ".join(sorted(name for names in found.values() for name in names))


def _answers_of(kind: str) -> list[str]:
    """The name of the first worker of a kind that answers, of however many there are."""
    answers = app.control.ping(timeout=WORKER_ANSWERS_WITHIN, limit=1, pattern=f"{kind}@*", matcher="glob")
    return [name for answer in answers or [] for name in answer]


def _asked(asked: Iterable[tuple[str, Probe]]) -> list[Finding]:
    """What each says, in their order; but nothing is asked that stands on one that was waited for in vain."""
    found: dict[str, Finding] = {}
    for name, probe in asked:
        below = found.get(_STANDS_ON.get(name, ""))
        if below is not None and in_vain(below):
            remedy = f"See the {below.name}'s own line."
            found[name] = Finding(name, False, f"Not asked, since the {below.name} does not answer.", 0.0, remedy)
        else:
            found[name] = probes.ask(name, probe)
    return list(found.values())


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
