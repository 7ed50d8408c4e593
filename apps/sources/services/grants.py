"""What somebody has let a source do with an API: its tokens, kept, renewed by themselves, and void when they must be.

A refresh token may hold once only. So whoever renews holds the lock of the grant's row from the look at it until the
new tokens are stored: no process renews what another has, and nobody uses a token that could still be lost. Whoever
locks the source as well does so before, and whoever renews does not: an answer may take SECONDS.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone
from pydantic import BaseModel

from apps.accounts import crypto
from apps.audit.context import SYSTEM, Actor, acting
from apps.audit.refusals import Conflict
from apps.audit.services import record
from apps.sources.models import Connecting, Grant, Source
from apps.sources.services.judging import judge_again
from dataplane import oauth
from dataplane.connectors.rest.params import GRANTED, Session
from dataplane.connectors.rest.signing import EARLY, not_connected
from dataplane.errors import ConfigurationError
from dataplane.http import Http, origin
from dataplane.oauth import App, Token, Tokens, TokensRefused

SECONDS = 20.0
"""So long a server of tokens may take."""
_TABLE = Grant._meta.db_table


@dataclass(frozen=True)
class Held:
    """A token, and when it ends."""

    text: str
    until: datetime | None

    @property
    def token(self) -> Token:
        return Token(self.text, None if self.until is None else (self.until - timezone.now()).total_seconds())

    def is_good(self, refused: str) -> bool:
        """Whether a request may begin with it now: it ends not too soon, and is not the one that was refused."""
        left = self.token.lasts
        return self.text != refused and (left is None or left > EARLY)


@dataclass
class Granted:
    """What lets a source in, for its connector: the token that was seen last, and fresh ones.

    slug: the source's; empty while it is not stored. consented: what the connector was made for. What lets the source
    in for something else is not for it. thread: whose connection to the database stays; any other's is closed after
    each use, as nobody closes it when that thread ends.
    """

    source: uuid.UUID
    slug: str
    app: App
    consented: tuple[str, ...]
    held: Held | None
    thread: int = field(default_factory=threading.get_ident)

    def token(self, refused: str = "") -> Token:
        if self.held is None or not self.held.is_good(refused):
            try:
                self.held = _fresh(self, refused)
            finally:
                if threading.get_ident() != self.thread:
                    connections.close_all()
        return self.held.token


def grant_of(source: Source, params: BaseModel) -> Granted | None:
    """What lets a source in; None for those that need nobody's consent. Raises ConfigurationError."""
    if not isinstance(params, Session) or params.auth not in GRANTED:
        return None
    grant = Grant.objects.select_related("source").filter(source_id=source.pk, refused="").first()
    wanted = consented(source.params)
    # The source may have been changed, and connected anew, since whoever asks has looked at it.
    held = _held(grant) if grant and consented(grant.source.params) == wanted else None
    return Granted(source.pk, source.slug, params.app, wanted, held)


def keep_grant(source: Source, tokens: Tokens, *, actor: Actor) -> Grant:
    """Keep what somebody has just consented to in place of what was before, in the caller's transaction."""
    grant = Grant.objects.select_for_update().filter(source=source).first() or Grant(source=source)
    grant.granted_at, grant.granted_by = timezone.now(), actor.name[:200]
    grant.ends_at = None
    _put(grant, tokens, tokens.refresh)
    grant.save()
    record(
        "source connected",
        object_type="source",
        object_id=source.pk,
        object_name=source.slug,
        project=source.project_id,
        data={"scope": grant.scope, "ends_at": grant.ends_at and grant.ends_at.isoformat()},
    )
    return grant


def must_need_consent(source: Source) -> None:
    """Raises Conflict for a source that is let in otherwise."""
    if source.params.get("auth") not in GRANTED:
        raise Conflict(
            f"Nobody has to connect {source.slug}: it does not sign in with {' or '.join(GRANTED)}.",
            code="needs_no_consent",
        )


def disconnect(source: Source, *, actor: Actor) -> None:
    """Forget what lets a source in. The API is told nothing; whoever has consented can take that back there."""
    must_need_consent(source)
    with acting(actor):
        Source.objects.select_for_update(no_key=True).get(pk=source.pk)
        void_grant(source)
        judge_again(source.pk)


def void_grant(source: Source) -> None:
    """Forget what lets a source in, and whoever is about to connect it; the caller's transaction has locked it."""
    Connecting.objects.filter(source=source).delete()
    Grant.objects.filter(source=source).delete()


def consented(params: Mapping[str, Any]) -> tuple[str, ...]:
    """What is consented to with these parameters; nothing where nobody has to. Two that differ need a new consent.

    The server of the API is among it: no token is ever told to another one than it was meant for.
    """
    if params.get("auth") not in GRANTED:
        return ()
    names = ("auth", "authorize_url", "device_url", "token_url", "client_id", "scope")
    return (*(str(params.get(name) or "") for name in names), *map(str, origin(params["base_url"])))


def asking_for_tokens() -> Http:
    """A client for one question to a server of tokens; the caller closes it."""
    http = Http(settings.NET_ALLOW)
    http.deadline = time.monotonic() + SECONDS
    return http


def _fresh(granted: Granted, refused: str) -> Held:
    """A token that holds, renewed if need be, and stored before anybody sees it. Raises ManifoldError."""
    with transaction.atomic(durable=True), acting(SYSTEM):
        grant = Grant.objects.select_for_update(of=("self",)).filter(source_id=granted.source).first()
        if grant is None:
            raise not_connected(granted.slug)
        # Looked at under the lock: whoever changes what is consented to removes the locked row with it.
        if consented(Source.objects.values_list("params", flat=True).get(pk=granted.source)) != granted.consented:
            raise _changed(granted.slug)
        if not grant.refused and _held(grant).is_good(refused):
            return _held(grant)
        failure = _renew(grant, granted.app, _opened(grant).get("refresh", ""))
        if failure is None:
            return _held(grant)
    with acting(SYSTEM):
        judge_again(granted.source)
    raise failure


def _renew(grant: Grant, app: App, refresh: str) -> ConfigurationError | None:
    """New tokens into a grant whose row is locked; or, where they are refused for good, why, which is kept as well."""
    if grant.refused:
        return _connect_again(grant.refused)
    if not refresh:
        return _refuse(grant, "What let the source in has ended, and nothing renews it.")
    http = asking_for_tokens()
    try:
        tokens = oauth.by_refresh(http, app, refresh)
    except TokensRefused as error:
        if not error.not_held:
            raise
        return _refuse(grant, f"What let the source in is not renewed any more ({error.said}).")
    finally:
        http.close()
    _put(grant, tokens, tokens.refresh or refresh)
    grant.renewed_at = timezone.now()
    grant.save()
    return None


def _refuse(grant: Grant, why: str) -> ConfigurationError:
    slug = grant.source.slug
    grant.refused = f"{why} Connect it again: *Connect* on the page of `{slug}`, or `manifold sources connect {slug}`."
    grant.save(update_fields=["refused"])
    return _connect_again(grant.refused)


def _changed(slug: str) -> ConfigurationError:
    return ConfigurationError(
        f"{slug} was changed and connected anew while it was being read, and what lets it in now is for what it is "
        "now. Run the pipeline again.",
        code="source_changed",
    )


def _connect_again(why: str) -> ConfigurationError:
    return ConfigurationError(why, code="connect_again")


def _put(grant: Grant, tokens: Tokens, refresh: str) -> None:
    """These tokens into a grant that the caller saves."""
    now = timezone.now()
    secrets = {"access": tokens.access} | ({"refresh": refresh} if refresh else {})
    grant.secrets, grant.key_version = crypto.seal(grant.pk, secrets, crypto.provider(), _TABLE)
    grant.scope = tokens.scope or grant.scope
    grant.refused = ""
    grant.token_ends_at = None if tokens.lasts is None else now + timedelta(seconds=tokens.lasts)
    if not refresh:
        grant.ends_at = grant.token_ends_at
    elif tokens.refresh_lasts is not None:
        grant.ends_at = now + timedelta(seconds=tokens.refresh_lasts)


def _opened(grant: Grant) -> dict[str, str]:
    return crypto.unseal(grant.pk, grant.secrets, grant.key_version, crypto.provider(), _TABLE)


def _held(grant: Grant) -> Held:
    return Held(_opened(grant)["access"], grant.token_ends_at)
