"""A large project in the installation that MANIFOLD_HOME names; a process of its own, since it needs Django."""

from __future__ import annotations

import json

from django.db import connection, transaction

from apps.accounts import services
from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.audit.sealing import seal
from apps.pipelines.models import Run
from tests.people import PASSWORD
from tests.scale import furnish_scale

EVENTS = 100_000
_EVENTS = """
    INSERT INTO audit_event (project, actor_kind, actor_name, request_id, verb, object_type, object_id, object_name,
                             after, data)
    SELECT %s, 'user', 'person-' || n %% 20, md5(n::text),
           (ARRAY['run started', 'run finished', 'query run', 'created', 'changed', 'deleted', 'tested'])[1 + n %% 7],
           (ARRAY['run', 'run', 'query', 'pipeline', 'source', 'stream', 'source'])[1 + n %% 7],
           md5((n / 7)::text), 'thing ' || n %% 1000, jsonb_build_object('title', 'Orders of shop ' || n), '{}'
    FROM generate_series(1, %s) n
"""


def main() -> None:
    """Print the name and password of an administrator of the project `large`, and what stands in addresses."""
    admin = User.objects.get(is_superuser=True)
    admin.set_password(PASSWORD)
    admin.save()
    project = services.create_project(slug="large", name="Large", admin=admin, actor=SYSTEM)
    # At once, since the sweeps of the platform would end a run that has no steps yet.
    with transaction.atomic():
        furnish_scale(project)
    _events(project)
    runs = Run.objects.filter(project=project).order_by("-id")
    print(
        json.dumps(
            {
                "username": admin.username,
                "password": PASSWORD,
                "running": str(runs.filter(state="running")[0].pk),
                "over": str(runs.filter(state="failed")[0].pk),
                "event": str(Event.objects.filter(project=project.pk).order_by("-id")[50].pk),
            }
        )
    )


def _events(project: Project) -> None:
    """An audit log of some size, sealed, so that nobody seals it while pages are measured."""
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, [project.pk, EVENTS])
    seal()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
