"""Sources: added, changed, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts.models import Project
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.sources.models import Credential, Health, Source
from apps.sources.parameters import InvalidFields, checked, parted, refuse_idle
from apps.sources.services.connectors import connector_class
from apps.sources.services.credentials import new_credential, opened, reseal
from apps.sources.services.grants import consented, void_grant
from apps.sources.services.rules import check_policy, check_slug, refuse_used
from apps.sources.services.uploads import forget_uploads
from dataplane.connectors.base import Connector
from dataplane.connectors.fields import secret_names
from dataplane.drift import Policy

CHECK_EVERY = 900
"""Seconds between two tests of a source, where nobody says otherwise."""
SHORTEST, LONGEST = 60, 7 * 86400
# What stands where the slug of a source stands in an address.
_TAKEN = frozenset({"detect", "try", "offers", "sample"})


def create_source(
    project: Project,
    *,
    slug: str,
    title: str,
    connector: str,
    params: Mapping[str, Any],
    actor: Actor,
    credential: Credential | None = None,
    writable: bool = False,
    check_every: int = CHECK_EVERY,
    drift: Policy = "evolve",
) -> Source:
    """Add a source. Secrets among `params` are encrypted into a credential of its own, unless one is named.

    Raises InvalidFields, or Conflict where the slug is taken.
    """
    kind = connector_class(connector)
    check_name(slug)
    _check_interval(check_every)
    _check_writable(kind, writable)
    whole = checked(kind, with_credential(params, credential, kind))
    refuse_idle(kind, whole, params)
    clear, secrets = parted(kind, whole)
    source = Source(
        project=project,
        slug=slug,
        title=title or slug,
        connector=connector,
        params=clear,
        writable=writable,
        check_every=check_every,
        drift=drift,
    )
    with acting(actor):
        source.credential = credential or new_credential(source, secrets)
        try:
            with transaction.atomic():
                source.save(force_insert=True)
        except IntegrityError:
            raise Conflict(f"There is a source `{slug}` already. Choose another name.", code="slug_taken") from None
    return source


def update_source(
    source: Source,
    *,
    actor: Actor,
    title: str | None = None,
    params: Mapping[str, Any] | None = None,
    credential: Credential | None = None,
    writable: bool | None = None,
    check_every: int | None = None,
    drift: str | None = None,
) -> Source:
    """Change what is given and keep the rest; a parameter given as None is taken out. Raises InvalidFields."""
    kind = connector_class(source.connector)
    if check_every is not None:
        _check_interval(check_every)
    if drift is not None:
        check_policy(drift)
    _check_writable(kind, bool(writable))
    with acting(actor):
        source = Source.objects.select_for_update(no_key=True, of=("self",)).select_related("project").get(pk=source.pk)
        source.credential = credential or source.credential
        if params is not None or credential is not None:
            _change_params(source, kind, params or {})
            source.health, source.health_reason, source.health_at = Health.UNKNOWN, "", None
            source.next_check_at = None
        source.title = source.title if title is None else title or source.slug
        source.writable = source.writable if writable is None else writable
        source.drift = source.drift if drift is None else drift
        if check_every is not None and check_every != source.check_every:
            source.check_every, source.next_check_at = check_every, None
        source.save()
    return source


def delete_source(source: Source, *, actor: Actor, used_by: Sequence[str]) -> None:
    """Remove a source with its streams, and its credential when nobody else uses it. The data that was read stays.

    used_by: the pipelines whose published version reads it, which only the caller, upstairs, can know. Raises Conflict
    while there are any.
    """
    refuse_used(f"The source {source.slug}", used_by)
    with acting(actor):
        # Locked before what belongs to it, as whoever changes or connects it does.
        Source.objects.select_for_update().filter(pk=source.pk).first()
        credential = source.credential
        forget_uploads(source)
        source.delete()
        if credential is not None and not credential.sources.exists():
            credential.delete()


def check_name(slug: str) -> None:
    """Raises InvalidFields for what no source may be called."""
    check_slug(slug)
    if slug in _TAKEN:
        raise InvalidFields({"slug": [f"{slug} is an address of the API. Choose another name."]})


def _check_writable(kind: type[Connector], wanted: bool) -> None:
    if wanted and not kind.capabilities.writable:
        raise InvalidFields({"writable": [f"{kind.title} cannot be written to."]})


def _check_interval(seconds: int) -> None:
    """Raises InvalidFields. Oftener than once a minute would be a load of its own on the source."""
    if seconds and not SHORTEST <= seconds <= LONGEST:
        said = f"Say {SHORTEST} to {LONGEST} seconds, or 0 for never."
        raise InvalidFields({"check_every": [said]})


def _change_params(source: Source, kind: type[Connector], params: Mapping[str, Any]) -> None:
    hidden = secret_names(kind.Params)
    before = {**source.params, **opened(source.credential)}
    wanted = {name: value for name, value in {**before, **params}.items() if value is not None}
    whole = checked(kind, wanted)
    now = whole.model_dump(mode="json")
    refuse_idle(kind, whole, [name for name in params if now.get(name) != before.get(name)])
    source.params, secrets = parted(kind, whole)
    if consented(before) != consented(source.params):
        void_grant(source)
    if not hidden & set(params):
        return
    if source.credential is None:
        source.credential = new_credential(source, secrets)
    else:
        reseal(source.credential, secrets)
        source.credential.save()


def with_credential(params: Mapping[str, Any], credential: Credential | None, kind: type[Connector]) -> dict[str, Any]:
    """The parameters with the secrets of a credential. Raises InvalidFields where it is of another kind."""
    if credential is None:
        return dict(params)
    if credential.connector != kind.key:
        raise InvalidFields({"credential": [f"It belongs to the connector {credential.connector}, not to {kind.key}."]})
    if secret_names(kind.Params) & set(params):
        raise InvalidFields({"credential": ["Name a credential or enter the secrets, not both."]})
    return {**params, **opened(credential)}
