"""What the filters of the audit log offer: what is there to be found, and nothing of other projects."""

from __future__ import annotations

import pytest

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM, acting
from apps.audit.models import Event
from apps.audit.queries import used
from apps.audit.services import record

pytestmark = pytest.mark.django_db


def note(project: Project | None, *verbs: str) -> None:
    with acting(SYSTEM):
        for verb in verbs:
            key = project.pk if project else None
            record(verb, object_type=f"a {verb}", object_id="1", object_name="", project=key, data={})


def test_it_works(project: Project, stranger: User) -> None:
    elsewhere = Project.objects.get(slug="elsewhere")
    note(project, "told", "asked", "told", "told")
    note(elsewhere, "hidden", "asked")
    note(None, "raised", "raised")
    here = Event.objects.filter(project=project.pk)
    assert used("verb", [project.pk]) == sorted(set(here.values_list("verb", flat=True)))
    assert {"asked", "told"} <= set(used("verb", [project.pk]))
    assert not {"hidden", "raised"} & set(used("verb", [project.pk]))
    both = used("object_type", [project.pk, elsewhere.pk], platform=True)
    assert {"a told", "a asked", "a hidden", "a raised"} <= set(both)
    assert both == sorted(set(both))
    assert used("verb", []) == []
