"""Who acts. Every write stands in `with acting(actor):`, so that the triggers of the audit log know whom to name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import structlog
from django.db import InternalError, OperationalError, connection, transaction
from psycopg.errors import IdleInTransactionSessionTimeout

ActorKind = Literal["user", "token", "system", "schedule", "webhook", "command", "anonymous"]

# Transaction-local, so a pooled or reused connection can never carry one person's name into another's work.
SETTING = "manifold.actor"
# A frozen process may hold locks that others wait for. PostgreSQL ends a transaction in which nobody has asked anything
# for so long. Ours think for seconds at most between two statements, or wait for one answer of a server of tokens, 20 s
# at most; a client waits for a minute.
IDLE_SECONDS = 45


@dataclass(frozen=True)
class Actor:
    """Whoever is answerable for a write: a person, a token of theirs, a schedule, a command, or the platform itself."""

    kind: ActorKind
    id: uuid.UUID | None
    name: str


SYSTEM = Actor("system", None, "manifold")


@dataclass(frozen=True)
class _Acting:
    actor: Actor
    request_id: str


_current: ContextVar[_Acting | None] = ContextVar("acting", default=None)


@contextmanager
def acting(actor: Actor, request_id: str = "", *, announce: bool = True) -> Iterator[None]:
    """A transaction in which `actor` is the author of every change.

    The request id is that of the request being answered unless one is given. Nested with the same actor it is one
    transaction with the outer one: no savepoint, and an exception that leaves it undoes the whole. With another actor
    it is a savepoint, and the outer actor is in force again afterwards. A transaction that is left idle for
    `IDLE_SECONDS` is undone by the database. Without `announce` the caller's own first statement sets that bound, and
    `SETTING` to `announcement(actor)`: one round trip less where those are counted.
    """
    outer = _current.get() if connection.in_atomic_block else None
    mine = _Acting(actor, request_id or (outer.request_id if outer else "") or _request_id())
    if outer is not None and outer.actor == actor:
        with transaction.atomic(savepoint=False):
            yield
        return
    inside_another = connection.in_atomic_block
    with _told_as_lost(), transaction.atomic():
        if announce:
            _announce(mine)
        token = _current.set(mine)
        try:
            yield
        finally:
            _current.reset(token)
        if inside_another:
            # A rollback restores the setting by itself; only what goes on has to be told.
            _announce(outer)


@contextmanager
def _told_as_lost() -> Iterator[None]:
    """An end by `IDLE_SECONDS` is a connection that broke, like any other: whoever repeats a write repeats this one."""
    try:
        yield
    except InternalError as error:
        if isinstance(error.__cause__, IdleInTransactionSessionTimeout):
            raise OperationalError(str(error)) from error
        raise


def current_actor() -> Actor | None:
    """Whoever acts in the transaction of this thread, if anybody does."""
    state = _current.get() if connection.in_atomic_block else None
    return state.actor if state else None


def announcement(actor: Actor, request_id: str = "") -> str:
    """What `SETTING` holds while this actor acts."""
    return json.dumps(
        {
            "kind": actor.kind,
            "id": str(actor.id) if actor.id else None,
            "name": actor.name[:200],
            "request": request_id[:64],
        }
    )


def _announce(state: _Acting | None) -> None:
    value = announcement(state.actor, state.request_id) if state is not None else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(%s, %s, true), set_config('idle_in_transaction_session_timeout', %s, true)",
            [SETTING, value, f"{IDLE_SECONDS}s"],
        )


def _request_id() -> str:
    return str(structlog.contextvars.get_contextvars().get("request", ""))
