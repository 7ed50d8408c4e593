"""Queries that a project keeps: written by operators, changed by whoever owns one or administers the project."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from apps.accounts.models import Project, Role, User
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid
from apps.snapshots.models import SavedQuery
from dataplane import parameters, statements
from dataplane.parameters import Parameter
from dataplane.syntax import StatementError

_TRIES = 50


def create(
    project: Project,
    *,
    title: str,
    sql: str,
    declared: Sequence[Mapping[str, Any]] = (),
    slug: str = "",
    user: User,
    actor: Actor,
) -> SavedQuery:
    """Keep a query under a title; its slug is made from it unless one is given. Raises Conflict for a taken slug."""
    title = _title(title)
    made = SavedQuery(project=project, title=title, sql=sql, parameters=declaration(sql, declared), owner=user)
    for name in [slug] if slug else _slugs(title):
        made.slug = name
        try:
            with acting(actor), transaction.atomic():
                made.save(force_insert=True)
            return made
        except IntegrityError:
            continue
    raise Conflict(f"A saved query `{made.slug}` is there already. Choose another name.", code="taken")


def change(
    saved: SavedQuery,
    *,
    title: str | None = None,
    sql: str | None = None,
    declared: Sequence[Mapping[str, Any]] | None = None,
    user: User,
    actor: Actor,
) -> SavedQuery:
    """Change what is given of a saved query; its slug stays."""
    _may_change(saved, user)
    saved.title = saved.title if title is None else _title(title)
    saved.sql = saved.sql if sql is None else sql
    saved.parameters = declaration(saved.sql, saved.parameters if declared is None else declared)
    with acting(actor):
        saved.save()
    return saved


def delete(saved: SavedQuery, *, user: User, actor: Actor) -> None:
    """Forget a saved query; the history keeps what was run."""
    _may_change(saved, user)
    with acting(actor):
        saved.delete()


def may_change(saved: SavedQuery, user: uuid.UUID | None, role: Role | None) -> bool:
    """An administrator may change each, an operator the own ones."""
    return role == Role.ADMIN or (role == Role.OPERATOR and saved.owner_id is not None and saved.owner_id == user)


def declaration(sql: str, declared: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parameters of a query as they are kept: those it names, in order of the declaration; others are texts.

    Declarations of what the query does not name are left out. Raises ManifoldError for SQL that could never run.
    """
    named = statements.named_in(sql)
    statements.check_select(sql, named.tables, named.parameters)
    kept = {str(each["name"]): _declared(each) for each in declared if each["name"] in named.parameters}
    more = {name: _declared({"name": name}) for name in sorted(named.parameters - set(kept))}
    return list({**kept, **more}.values())


def bound(
    sql: str, given: Sequence[Mapping[str, Any]], declared: Sequence[Mapping[str, Any]] = ()
) -> tuple[Parameter, ...]:
    """The values of a query's parameters: what was given, as the kind that was declared, else the default.

    Raises ConfigurationError that names a parameter without a value, one that the query does not have, and a value that
    does not fit.
    """
    kinds = {each["name"]: each for each in declared}
    values = {
        each["name"]: parameters.parameter(
            each["name"], each.get("type") or kinds.get(each["name"], {}).get("type"), each["value"]
        )
        for each in given
    }
    try:
        named = statements.named_in(sql).parameters
    except StatementError:
        return tuple(values.values())
    for name in sorted(values.keys() - named):
        raise parameters.refused(name, "The query has no such parameter.")
    for name in sorted(named - values.keys()):
        default = kinds.get(name, {}).get("default")
        if default is None:
            raise parameters.refused(name, "It needs a value.")
        values[name] = parameters.parameter(name, kinds[name]["type"], default)
    return tuple(values[name] for name in sorted(values))


def _declared(each: Mapping[str, Any]) -> dict[str, Any]:
    kept = parameters.parameter(str(each["name"]), each.get("type") or "text", each.get("default"))
    return {"name": kept.name, "type": kept.kind, "default": kept.value}


def _title(title: str) -> str:
    title = " ".join(title.split())
    if not 1 <= len(title) <= 200:
        raise Invalid("title", "Give it a title of 1 to 200 characters.")
    return title


def _slugs(title: str) -> list[str]:
    base = slugify(title)[:55].strip("-") or "query"
    return [base, *(f"{base}-{number}" for number in range(2, _TRIES))]


def _may_change(saved: SavedQuery, user: User) -> None:
    if not may_change(saved, user.pk, user.role_in(saved.project)):
        raise PermissionDenied("Only whoever saved a query, or an administrator of the project, may change it.")
