"""Interactive SQL: run a query, stop it, take its answer away. Each is a row of the history with how it ended.

A query runs in the process that was asked, in a confined child. It can be stopped from any other: the wish is a column
of its row, and whoever runs it looks there twice a second.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.accounts.models import Project, Role, User
from apps.audit.context import SYSTEM, Actor, acting
from apps.audit.ids import new_id
from apps.audit.refusals import Conflict
from apps.audit.services import record
from apps.snapshots import pinning, queries
from apps.snapshots.models import Dataset, Query, QueryState, SavedQuery, Snapshot
from apps.snapshots.turns import turn
from dataplane import export, sandbox
from dataplane.errors import BugError, CancelledError, LostError, ManifoldError
from dataplane.parameters import Parameter
from dataplane.sandbox import QueryResult

log = structlog.get_logger(__name__)

MOST_ROWS = 10_000
KEPT = 1000
"""So many queries of one person in one project are remembered."""
EXPORT_SECONDS = 600
_GRACE = timedelta(seconds=30)


@dataclass(frozen=True)
class Wanted:
    """A query to run. The id is the asker's own, so that it can be stopped before the answer has told one."""

    sql: str
    parameters: tuple[Parameter, ...] = ()
    saved: SavedQuery | None = None
    order: int = 0
    rows: int = 1000
    id: uuid.UUID | None = None


def run(project: Project, wanted: Wanted, *, user: User, actor: Actor) -> tuple[Query, QueryResult]:
    """Answer one read-only SELECT over the project's datasets that the user may read; recorded before it runs.

    A dataset goes by its slug, an older snapshot by `slug@number` or `slug@label`, a name with dots or dashes in
    double quotes. Raises ManifoldError with the place of whatever is wrong, Busy when this process answers as many
    queries as it may, or as one person may have, and Conflict when the query was stopped.
    """
    with turn(user.pk):
        datasets = Dataset.objects.visible_to(user, "read").filter(project=project)
        snapshots: dict[str, Snapshot] = {}
        refused: ManifoldError | None = None
        try:
            snapshots = pinning.pinned(wanted.sql, datasets)
        except ManifoldError as error:
            refused = error
        query = _begin(project, wanted, snapshots, user=user, actor=actor)
        with _ending(query, actor):
            if refused is not None:
                raise refused
            result = _answer(query, wanted, snapshots, datasets)
        _finish(
            query,
            QueryState.SUCCEEDED,
            actor=actor,
            columns=result.columns,
            rows=result.row_count,
            cut=result.cut,
            bytes_scanned=result.bytes_scanned,
            seconds=result.seconds,
        )
    return query, result


def cancel(query: Query, *, user: User, actor: Actor) -> Query:
    """Wish that a query ends, which it does within a second. One's own, or as an administrator anybody's.

    Raises Conflict for one that is over, and PermissionDenied.
    """
    if query.user_id != user.pk and user.role_in(query.project) != Role.ADMIN:
        raise PermissionDenied("Only whoever runs a query, or an administrator of the project, may stop it.")
    with acting(actor):
        close_lost()
        running = Query.objects.filter(pk=query.pk, state=QueryState.RUNNING)
        if not running.update(cancelled_by=actor.name):
            raise Conflict("The query is over already.", code="query_over")
        _record("query cancelled", query)
    query.refresh_from_db()
    return query


def open_download(
    query: Query, form: export.Format, *, order: int = 0, user: User, actor: Actor
) -> tuple[export.Export, Iterator[bytes]]:
    """The whole answer of a query that succeeded, from the very snapshots that it read; recorded before it begins.

    The first bytes are there when this returns, so that what fails early is still told as an error.
    """
    if query.state != QueryState.SUCCEEDED:
        raise Conflict("Only the answer of a query that has succeeded can be downloaded.", code="query_without_answer")
    datasets = Dataset.objects.visible_to(user, "read").filter(project=query.project)
    opened = export.open_query(
        query.sql,
        queries.columns_of(query),
        pinning.tables_of(pinning.pinned_again(query.tables, datasets)),
        queries.storage(),
        form,
        memory=settings.SQL_MEMORY,
        seconds=EXPORT_SECONDS,
        parameters=queries.parameters_of(query),
        order=order,
    )
    with acting(actor):
        _record("query downloaded", query, format=form)
    stream = iter(opened)
    return opened, _after(next(stream, b""), stream)


def close_lost() -> int:
    """End the rows of queries whose process has died: nobody runs one for that long. How many there were."""
    late = timedelta(seconds=settings.SQL_SECONDS) + _GRACE
    gone = LostError("The process that ran the query has ended. Run it again.", code="query_lost")
    with acting(SYSTEM):
        return Query.objects.filter(state=QueryState.RUNNING, created_at__lt=Now() - late).update(
            state=QueryState.FAILED, error=gone.as_json(), finished_at=Now()
        )


def _begin(project: Project, wanted: Wanted, snapshots: dict[str, Snapshot], *, user: User, actor: Actor) -> Query:
    close_lost()
    query = Query(
        id=wanted.id or new_id(),
        project=project,
        user=user,
        saved=wanted.saved,
        sql=wanted.sql,
        parameters=[{"name": each.name, "type": each.kind, "value": each.value} for each in wanted.parameters],
        tables={name: each.number for name, each in snapshots.items()},
    )
    try:
        with acting(actor):
            # A savepoint: a taken id must not undo what the caller may have begun.
            with transaction.atomic():
                query.save(force_insert=True)
            _record("query run", query, sql=query.sql[:10_000], tables=sorted(query.tables))
            _forget_old(project, user)
    except IntegrityError:
        raise Conflict("A query with this id has been run before. Send another id, or none.", code="taken") from None
    return query


def _answer(query: Query, wanted: Wanted, snapshots: dict[str, Snapshot], datasets: QuerySet[Dataset]) -> QueryResult:
    pinning.checked(wanted.sql, snapshots, datasets, [each.name for each in wanted.parameters])
    return sandbox.run_query(
        wanted.sql,
        pinning.tables_of(snapshots),
        queries.storage(),
        memory=settings.SQL_MEMORY,
        seconds=settings.SQL_SECONDS,
        parameters=wanted.parameters,
        order=wanted.order,
        limit_rows=wanted.rows,
        stopped=Query.objects.filter(pk=query.pk).exclude(cancelled_by="").exists,
    )


@contextmanager
def _ending(query: Query, actor: Actor) -> Iterator[None]:
    """Whatever ends a query before its answer is written to its row, and goes on."""
    try:
        yield
    except CancelledError:
        _finish(query, QueryState.CANCELLED, actor=actor)
        query.refresh_from_db(fields=["cancelled_by"])
        raise Conflict(f"The query was stopped by {query.cancelled_by}.", code="query_cancelled") from None
    except ManifoldError as error:
        _finish(query, QueryState.FAILED, actor=actor, error=error.as_json())
        raise
    except Exception:
        bug = BugError("This is a bug of ours. The log has the details.", code="bug")
        _finish(query, QueryState.FAILED, actor=actor, error=bug.as_json())
        raise


def _finish(query: Query, state: QueryState, *, actor: Actor, **found: object) -> None:
    with acting(actor):
        Query.objects.filter(pk=query.pk, state=QueryState.RUNNING).update(state=state, finished_at=Now(), **found)
    for name, value in {"state": state, **found}.items():
        setattr(query, name, value)


def _forget_old(project: Project, user: User) -> None:
    """Keep the newest of a person's queries."""
    mine = Query.objects.filter(project=project, user=user)
    beyond = list(mine.order_by("-created_at").values_list("created_at", flat=True)[KEPT : KEPT + 1])
    if beyond:
        mine.filter(created_at__lte=beyond[0]).exclude(state=QueryState.RUNNING).delete()


def _after(first: bytes, stream: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from stream


def _record(verb: str, query: Query, **data: object) -> None:
    record(
        verb,
        object_type="query",
        object_id=query.pk,
        object_name=str(query),
        project=query.project_id,
        data=dict(data),
    )
