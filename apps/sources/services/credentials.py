"""Credentials: entered, replaced, encrypted under a new master key; never shown again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from apps.accounts import crypto
from apps.accounts.models import Project, SecondFactor
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.sources.models import Connecting, Credential, Grant, Health, Source
from apps.sources.parameters import InvalidFields
from apps.sources.services.rules import check_slug, refuse_used
from dataplane.connectors import registry
from dataplane.connectors.fields import secret_names

_TABLE = Credential._meta.db_table
_SEALED: list[type[models.Model]] = [Credential, SecondFactor, Grant, Connecting]


def create_credential(
    project: Project, *, slug: str, connector: str, secrets: Mapping[str, str], actor: Actor
) -> Credential:
    """Add a credential that several sources may share. Raises InvalidFields."""
    check_slug(slug)
    registry.get(connector)
    credential = Credential(project=project, slug=slug, connector=connector, key_version=crypto.provider().current())
    with acting(actor):
        try:
            with transaction.atomic():
                credential.save(force_insert=True)
        except IntegrityError:
            raise Conflict(f"There is a credential `{slug}` already. Choose another name.", code="slug_taken") from None
        return set_secrets(credential, secrets=secrets, actor=actor)


def set_secrets(credential: Credential, *, secrets: Mapping[str, str], actor: Actor) -> Credential:
    """Replace the named secrets of a credential; an empty one is removed. Raises InvalidFields for unknown names."""
    known = secret_names(registry.get(credential.connector).Params)
    unknown = sorted(set(secrets) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise InvalidFields({name: [f"There is no such secret; there are: {names}."] for name in unknown})
    with acting(actor):
        credential = Credential.objects.select_for_update().get(pk=credential.pk)
        reseal(credential, {**opened(credential), **secrets})
        credential.save()
        credential.sources.update(
            health=Health.UNKNOWN, health_reason="", health_at=None, next_check_at=None, changed_at=timezone.now()
        )
    return credential


def set_expiry(credential: Credential, *, expires_on: date | None, actor: Actor) -> Credential:
    """Say until which day its secrets are good, so that its sources warn of it in time; None takes that back."""
    with acting(actor):
        credential = Credential.objects.select_for_update().get(pk=credential.pk)
        credential.expires_on = expires_on
        credential.save()
        credential.sources.update(next_check_at=None)
    return credential


def delete_credential(credential: Credential, *, actor: Actor) -> None:
    """Remove a credential. Raises Conflict while a source uses it."""
    with acting(actor):
        refuse_used(f"The credential {credential.slug}", list(credential.sources.values_list("slug", flat=True)))
        credential.delete()


def rotates(model: type[models.Model]) -> type[models.Model]:
    """Have the rows of a model of another app, whose `secrets` are sealed too, follow the master key."""
    _SEALED.append(model)
    return model


def rotate_credentials(*, actor: Actor, keys: crypto.KeyProvider | None = None) -> int:
    """Encrypt every secret again under the newest master key, row by row; returns how many rows were changed."""
    keys = keys or crypto.provider()
    changed = 0
    for model in _SEALED:
        rows = model._default_manager.exclude(key_version=keys.current()).values_list("pk", flat=True)
        changed += sum(_rotate(model, pk, keys, actor) for pk in list(rows))
    return changed


def _rotate(model: type[models.Model], pk: uuid.UUID, keys: crypto.KeyProvider, actor: Actor) -> bool:
    with acting(actor):
        row: Any = model._default_manager.select_for_update(of=("self",)).filter(pk=pk).first()
        if row is None or row.key_version == keys.current():
            return False
        table = model._meta.db_table
        secrets = crypto.unseal(pk, row.secrets, row.key_version, keys, table)
        row.secrets, row.key_version = crypto.seal(pk, secrets, keys, table)
        row.save(update_fields=["secrets", "key_version"])
        return True


def opened(credential: Credential | None) -> dict[str, str]:
    """A credential's secrets in clear; for connectors, never for an answer. Raises ConfigurationError."""
    if credential is None or not credential.secrets:
        return {}
    return crypto.unseal(credential.pk, credential.secrets, credential.key_version, crypto.provider(), _TABLE)


def new_credential(source: Source, secrets: Mapping[str, str]) -> Credential | None:
    """A credential of a source's own, in the caller's transaction; None when there is no secret."""
    if not secrets:
        return None
    taken = set(Credential.objects.filter(project_id=source.project_id).values_list("slug", flat=True))
    slug = next(each for each in [source.slug, f"{source.slug[:50]}-{uuid.uuid4().hex[:8]}"] if each not in taken)
    credential = Credential(project_id=source.project_id, slug=slug, connector=source.connector)
    reseal(credential, secrets)
    credential.save(force_insert=True)
    return credential


def reseal(credential: Credential, secrets: Mapping[str, str]) -> None:
    """Put these secrets, and no others, into a credential that the caller saves; when they end is not known."""
    kept = {name: text for name, text in secrets.items() if text}
    credential.secrets, credential.key_version = crypto.seal(credential.pk, kept, crypto.provider(), _TABLE)
    credential.expires_on = None
