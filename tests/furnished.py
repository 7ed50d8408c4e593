"""A project in which everything is there: sources, a pipeline with a draft, runs, a snapshot, rejected rows, tokens.

It is made once for a module and committed; each test sees it, and what the test changes is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, Identity, Invitation, Project, Role, User
from apps.accounts.oidc.flow import Claims
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.pipelines import backfilling, freshness, hooks, services
from apps.pipelines.execution import dispatch
from apps.pipelines.models import Backfill, Hook, HookSecret, Pipeline, Run
from apps.quality.models import CheckResult
from apps.snapshots import saved, workbench
from apps.snapshots.models import Dataset, Query
from apps.sources import services as sources
from apps.sources.models import Drift, SourceFile, Stream
from tests.apps.pipelines import workshop
from tests.emptied import empty
from tests.people import make_user, member

ORDERS = """\
id,customer,amount,ordered_at
1,ann,12.50,2026-01-01 09:00:00
2,ben,7.20,2026-01-01 10:30:00
3,cem,99.00,2026-01-02 08:15:00
"""
DOCUMENT = """\
manifold: 1
pipeline: orders
title: Orders of the shop
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}}
  sound:
    check:
      input: orders
      rules:
        - {not_null: [id, customer], action: stop}
        - {range: {column: amount, max: 50}, action: quarantine}
  kept: {load: {input: sound, dataset: orders, mode: append}}
schedule: {preset: daily, at: 06:00, timezone: Europe/Berlin}
"""


@dataclass(frozen=True)
class Furnished:
    """The people by their role, and what the gaps of an address may be filled with, by the word before the gap."""

    folder: Path
    people: dict[str, User]
    project: Project
    pipeline: Pipeline
    succeeded: Run
    cancelled: Run
    running: Run
    query: Query
    asking: Query
    tokens: dict[str, str] = field(default_factory=dict)
    # What stands in the link of an invitation that is open.
    link: str = ""

    @property
    def values(self) -> dict[str, str]:
        """What is there, by the word of the address that stands before it."""
        return {
            "projects": self.project.slug,
            "sources": "drop",
            "streams": "orders",
            "uploads": "orders-2026-02.csv",
            "drift": str(Drift.objects.values_list("pk", flat=True)[0]),
            "files": str(SourceFile.objects.values_list("pk", flat=True)[0]),
            "credentials": "db",
            "connectors": "postgresql",
            "pipelines": "orders",
            "versions": "1",
            "runs": str(self.succeeded.pk),
            "suggestions": "seed",
            "backfills": str(Backfill.objects.values_list("pk", flat=True)[0]),
            "hooks": str(Hook.objects.values_list("pk", flat=True)[0]),
            "secrets": str(HookSecret.objects.values_list("pk", flat=True)[0]),
            "datasets": "orders",
            "snapshots": "1",
            "checks": str(CheckResult.objects.values_list("pk", flat=True)[0]),
            "queries": str(self.query.pk),
            "saved-queries": "big-orders",
            "members": "olga",
            "sessions": "0" * 32,
            "identities": str(Identity.objects.values_list("pk", flat=True)[0]),
            "invitations": str(Invitation.objects.values_list("pk", flat=True)[0]),
            "users": "olga",
            "events": str(Event.objects.filter(project=self.project.pk).values_list("pk", flat=True)[0]),
            "tokens": str(ApiToken.objects.filter(user=self.people["viewer"]).values_list("pk", flat=True)[0]),
        }


def furnish(folder: Path, database: str) -> Furnished:
    """Make it, with real runs that are worked off in this process. `folder`/drop is a file root already."""
    ada = make_user("ada")
    project = accounts.create_project(slug="flights", name="Flights", admin=ada, actor=SYSTEM)
    people = {
        "admin": ada,
        "operator": member("olga", project, Role.OPERATOR),
        "viewer": member("vera", project, Role.VIEWER),
        "stranger": make_user("stan"),
        "superuser": make_user("root", superuser=True),
    }
    accounts.link(people["viewer"], Claims("https://login.example.org", "1", "", "", frozenset()), actor=SYSTEM)
    accounts.create_project(slug="elsewhere", name="Elsewhere", admin=people["stranger"], actor=SYSTEM)
    (folder / "drop" / "orders-2026-01.csv").write_text(ORDERS)
    workshop.files_source(project, folder / "drop")
    _drift(Stream.objects.get(name="orders"))
    given = sources.create_source(
        project, slug="given", title="Given files", connector="uploads", params={}, actor=SYSTEM
    )
    sources.keep_upload(given, name="orders-2026-02.csv", body=BytesIO(ORDERS.encode()), length=None, actor=SYSTEM)
    workshop.execute(database, "CREATE TABLE customers (id text PRIMARY KEY, name text NOT NULL)")
    workshop.insert(database, "customers", [("ann", "Ann"), ("ben", "Ben")])
    workshop.postgres_source(project, database)
    pipeline = workshop.published(project, DOCUMENT)
    succeeded = workshop.run(pipeline)
    assert succeeded.state == "succeeded", workshop.error_of(succeeded)
    for subject in (Dataset.objects.get(slug="orders"), Stream.objects.get(name="orders")):
        freshness.expect(subject, {"max_age": 86_400}, actor=SYSTEM)
    services.save_draft(pipeline, DOCUMENT.replace("Orders of", "All orders of"), actor=SYSTEM)
    cancelled = services.cancel_run(services.start_run(pipeline, actor=SYSTEM), actor=SYSTEM)
    running = services.start_run(pipeline, actor=SYSTEM)
    _, link = accounts.invite(project, name="Nina", role=Role.VIEWER, actor=SYSTEM)
    hooks.create_hook(pipeline, name="shop", actor=SYSTEM)
    december = backfilling.Range("2025-12-01", "2025-12-04", every="day")
    backfilling.cancel_backfill(backfilling.start_backfill(pipeline, december, actor=SYSTEM), actor=SYSTEM)
    tokens = {
        who: accounts.issue_token(person, name="key", role=Role.ADMIN, actor=SYSTEM)[1]
        for who, person in people.items()
    }
    query, asking = _queries(project, people)
    return Furnished(folder, people, project, pipeline, succeeded, cancelled, running, query, asking, tokens, link)


def _drift(stream: Stream) -> None:
    """A change of columns that stops runs of a stricter stream; somebody has seen it."""
    more = {"name": "note", "type": "VARCHAR", "nullable": True, "native": "text", "warning": ""}
    change = {"kind": "added", "column": "note", "before": "", "after": "VARCHAR", "candidates": []}
    now = [*stream.config["columns"], more]
    Drift.objects.create(stream=stream, now=now, changes=[change], state="stopped", seen_at=timezone.now())


def _queries(project: Project, people: dict[str, User]) -> tuple[Query, Query]:
    """One that was answered and one that is running, both the viewer's; and one that the operator has saved."""
    viewer, operator = people["viewer"], people["operator"]
    text = "SELECT * FROM orders WHERE amount > $least ORDER BY id"
    least = [{"name": "least", "type": "number", "default": "5"}]
    saved.create(project, title="Big orders", sql=text, declared=least, user=operator, actor=SYSTEM)
    wanted = workbench.Wanted("SELECT id, customer FROM orders ORDER BY id")
    query, _ = workbench.run(project, wanted, user=viewer, actor=SYSTEM)
    # From tomorrow, so that it does not count as lost however long the tests take.
    asking = Query.objects.create(project=project, user=viewer, sql="SELECT 1")
    Query.objects.filter(pk=asking.pk).update(created_at=timezone.now() + timedelta(days=1))
    return query, asking


@pytest.fixture(scope="module")
def furnished(
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
    module_postgres_url: str,
) -> Iterator[Furnished]:
    """The furnished project, while file sources may read `folder`/drop. No broker is told of its runs."""
    with furnished_in(tmp_path_factory.mktemp("furnished"), module_postgres_url, django_db_blocker) as made:
        yield made


@contextmanager
def furnished_in(folder: Path, database: str, blocker: Any) -> Iterator[Furnished]:
    """Furnish, and empty all tables in the end."""
    (folder / "drop").mkdir()
    places = {
        "STORAGE_URL": f"file://{folder}/storage",
        "MANIFOLD_HOME": folder / "home",
        "FILE_ROOTS": [folder / "drop"],
    }
    with ExitStack() as stack:
        stack.enter_context(override_settings(**places))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(dispatch, "send", lambda ready: bool(list(ready)) or True)
        with blocker.unblock():
            made = furnish(folder, database)
        yield made
        with blocker.unblock():
            empty()
