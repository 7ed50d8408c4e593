"""Connecting a source: somebody consents in a browser that comes back, or enters a code somewhere else (OAuth 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta

from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.accounts import crypto
from apps.accounts.models import User
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.sources.models import Connecting, Source
from apps.sources.services.connectors import checked_params
from apps.sources.services.grants import asking_for_tokens, keep_grant, must_need_consent
from apps.sources.services.testing import test_source
from dataplane import oauth
from dataplane.connectors.rest.params import Session
from dataplane.errors import TransientError
from dataplane.oauth import Device, Tokens, TokensRefused

_SECONDS = 600
_LONGEST_INTERVAL = 60
_TABLE = Connecting._meta.db_table
_WAITS = frozenset({"authorization_pending", "slow_down"})
_DEVICE_ENDS = {
    "expired_token": "The code has expired before anybody entered it. Connect the source again.",
    "access_denied": "Whoever entered the code did not let the source in. Connect it again to try once more.",
}


def begin_connecting(
    source: Source, *, user: User, redirect: str, actor: Actor, in_session: bool = False
) -> tuple[Connecting, str]:
    """Begin, in place of what was begun before; and the state that has to come back to `redirect`.

    `address` is where somebody consents, or enters `user_code`. in_session: the caller keeps the state in the session
    of the browser. Raises ManifoldError.
    """
    must_need_consent(source)
    params = _params(source)
    row = Connecting(source=source, user=user, in_session=in_session)
    state = ""
    if params.auth == "device_code":
        with closing(asking_for_tokens()) as http:
            _put_device(row, oauth.begin_device(http, params.app, str(params.device_url)))
    else:
        state, verifier = oauth.new_verifier(), oauth.new_verifier()
        row.state, row.redirect = _digest(state), redirect
        row.address = oauth.authorization_address(
            str(params.authorize_url), params.app, redirect=redirect, state=state, verifier=verifier
        )
        row.expires_at = timezone.now() + timedelta(seconds=_SECONDS)
        _seal(row, verifier)
    with acting(actor):
        Source.objects.select_for_update(no_key=True).get(pk=source.pk)
        Connecting.objects.filter(source=source).delete()
        row.save(force_insert=True)
    return row, state


def take_back(state: str, *, user: User, kept: str, actor: Actor) -> Connecting:
    """What was begun with a state that came back; nobody can come back with it once more.

    kept: the state that the session of the browser holds. Raises Conflict for a state that is not of this person, not
    of this browser, not in time, or was used.
    """
    with acting(actor):
        rows = Connecting.objects.visible_to(user, "manage").filter(user=user, expires_at__gt=timezone.now())
        found = rows.select_for_update(of=("self",)).select_related("source__project").filter(state=_digest(state))
        row = found.first()
        if row is None or (row.in_session and not constant_time_compare(kept, state)):
            raise Conflict(
                "That answer belongs to nothing that you have begun here: it took too long, was used already, or was "
                "begun in another browser or by somebody else. Press *Connect* on the source's page again.",
                code="oauth_state",
            )
        Connecting.objects.filter(pk=row.pk).delete()
    return row


def finish_connecting(row: Connecting, answer: Mapping[str, str], *, actor: Actor) -> bool:
    """Get the tokens for what came back, keep them, and test the source; whether it passed. Raises ManifoldError."""
    error = answer.get("error", "")
    if error == "access_denied":
        raise Conflict("The API did not let the source in, or you cancelled. Connect it again.", code="oauth_denied")
    if error or not answer.get("code"):
        said = " ".join((answer.get("error_description") or error or "no code came back").split())[:200]
        raise Conflict(
            f"The API refused: “{said}”. Correct what it names in the source, then connect it again.",
            code="oauth_refused",
        )
    with closing(asking_for_tokens()) as http:
        app = _params(row.source).app
        tokens = oauth.by_code(http, app, code=answer["code"], redirect=row.redirect, verifier=_opened(row))
    return _connected(row.source, tokens, actor=actor)


def ask_device(source: Source, *, actor: Actor) -> bool | None:
    """Ask whether the code has been entered, unless it is too early for that; None: not yet.

    Once it has been, the source is connected and tested: whether it passed. Raises ManifoldError where it is over.
    """
    must_need_consent(source)
    row = Connecting.objects.filter(source=source, state=None).select_related("source").first()
    if row is None or row.expires_at <= timezone.now():
        raise Conflict(_DEVICE_ENDS["expired_token"], code="expired_token")
    now = timezone.now()
    due = Connecting.objects.filter(pk=row.pk, next_ask_at__lte=now)
    if not due.update(next_ask_at=now + timedelta(seconds=row.interval)):
        return None
    try:
        with closing(asking_for_tokens()) as http:
            tokens = oauth.by_device(http, _params(source).app, _opened(row))
    except TransientError:
        # RFC 8628, 3.5: whoever gets no answer asks less often.
        _slow_down(row, row.interval)
        raise
    except TokensRefused as error:
        if error.said in _WAITS:
            _slow_down(row, 5 if error.said == "slow_down" else 0)
            return None
        Connecting.objects.filter(pk=row.pk).delete()
        if error.said in _DEVICE_ENDS:
            raise Conflict(_DEVICE_ENDS[error.said], code=error.said) from None
        raise
    return _connected(source, tokens, actor=actor)


def _connected(source: Source, tokens: Tokens, *, actor: Actor) -> bool:
    """Keep the tokens, unless the source has become another while they were asked for; and test it."""
    with acting(actor):
        rows = Source.objects.select_for_update(no_key=True, of=("self",)).select_related("credential", "project")
        now = rows.get(pk=source.pk)
        if now.changed_at != source.changed_at:
            raise Conflict(
                "The source was changed while it was being connected. Connect it again.", code="source_changed"
            )
        Connecting.objects.filter(source=now).delete()
        keep_grant(now, tokens, actor=actor)
    return test_source(now, actor=actor).ok


def _params(source: Source) -> Session:
    params = checked_params(source)
    assert isinstance(params, Session)
    return params


def _put_device(row: Connecting, device: Device) -> None:
    now = timezone.now()
    row.user_code, row.address, row.address_with_code = device.user_code, device.address, device.address_with_code
    row.interval, row.next_ask_at = device.interval, now + timedelta(seconds=device.interval)
    row.expires_at = now + timedelta(seconds=device.lasts)
    _seal(row, device.device_code)


def _slow_down(row: Connecting, seconds: int) -> None:
    interval = min(row.interval + seconds, _LONGEST_INTERVAL)
    later = F("next_ask_at") + timedelta(seconds=interval - row.interval)
    Connecting.objects.filter(pk=row.pk).update(interval=interval, next_ask_at=later)


def _seal(row: Connecting, text: str) -> None:
    row.secrets, row.key_version = crypto.seal(row.pk, {"text": text}, crypto.provider(), _TABLE)


def _opened(row: Connecting) -> str:
    return crypto.unseal(row.pk, row.secrets, row.key_version, crypto.provider(), _TABLE)["text"]


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
