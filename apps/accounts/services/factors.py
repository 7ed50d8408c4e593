"""The second factor: set up, asked for at sign-in, renewed and taken away.

An app on the person's phone makes codes; ten recovery codes, each good once, are for the day the phone is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from apps.accounts import crypto, tokens, totp
from apps.accounts.actors import actor_of
from apps.accounts.models import SecondFactor, User
from apps.accounts.services.lockout import NOBODY
from apps.accounts.services.people import confirm_password
from apps.accounts.services.sessions import end_other_sessions
from apps.audit.context import Actor, acting
from apps.audit.refusals import Busy, Conflict, Invalid
from apps.audit.services import record
from dataplane.errors import ConfigurationError, InfrastructureError

RECOVERY_CODES = 10
_TABLE = SecondFactor._meta.db_table
_WRONG = "That is not the code of this moment. Look at your app again; each code is taken once."


def factor_of(user: User) -> SecondFactor | None:
    """What a person has, or is setting up."""
    return SecondFactor.objects.filter(user=user).first()


def offered(factor: SecondFactor) -> str:
    """The secret that is being set up, for the person's app; empty where none is."""
    return _opened(factor).get("next", "")


def offer(user: User, *, actor: Actor) -> SecondFactor:
    """Begin to set up: a new secret, which counts once `confirm` has seen a code of it. Until then all stays as is."""
    with acting(actor):
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        factor = _locked(user) or SecondFactor(user=user)
        _seal(factor, {**_opened(factor), "next": totp.new_secret()})
        factor.save()
        return factor


def confirm(user: User, *, code: str, keep_session: str | None, actor: Actor) -> list[str]:
    """Set up for good, with a first code of the new secret; all other sessions end. Returns the recovery codes.

    Raises Conflict where nothing is being set up, Invalid for a wrong code.
    """
    with acting(actor):
        factor = _locked(user)
        secret = "" if factor is None else offered(factor)
        if factor is None or not secret:
            raise Conflict("Nothing is being set up. Begin again.", code="no_second_factor")
        step = totp.step_of(secret, _digits(code))
        if step is None:
            raise Invalid("code", _WRONG, code="wrong_code")
        _seal(factor, {"secret": secret})
        factor.last_step, factor.failures, factor.locked_until = step, 0, None
        factor.confirmed_at = timezone.now()
        codes = _renew(factor)
        end_other_sessions(user, keep_session, actor=actor)
        return codes


def renew_recovery_codes(user: User, *, actor: Actor) -> list[str]:
    """Ten new recovery codes; the old ones open nothing any more. Raises Conflict for whoever has no second factor."""
    with acting(actor):
        return _renew(_confirmed(user))


def remove_factor(user: User, *, actor: Actor, keep_session: str | None = None) -> None:
    """Take a person's second factor away; their sessions end, but for that of this key. Raises Conflict for none."""
    with acting(actor):
        _confirmed(user).delete()
        end_other_sessions(user, keep_session, actor=actor)


def reset_factor(user: User, *, by: User, actor: Actor) -> None:
    """Take the second factor of somebody else away; one's own goes with a code only. Raises Conflict for none."""
    if user.pk == by.pk:
        raise Conflict(
            "Yours goes under your account, with a code of the app or a recovery code. Another superuser needs none.",
            code="own_second_factor",
        )
    remove_factor(user, actor=actor)


def check_code(user: User, *, code: str, address: str) -> str:
    """Take a code of the app, or a recovery code, each once; returns which it was.

    Raises Invalid for a wrong code, and Busy while too many wrong ones have locked the person out, whatever they send.
    """
    with acting(NOBODY):
        factor = _confirmed(user)
        locked = factor.locked_until is not None and factor.locked_until > timezone.now()
        kind = "" if locked else _taken(factor, code)
        if not locked and not kind:
            _count_failure(factor, user, address)
    if factor.locked_until is not None and factor.locked_until > timezone.now():
        minutes = -(-int((factor.locked_until - timezone.now()).total_seconds()) // 60)
        raise Busy(
            f"Too many wrong codes. Try again in {max(1, minutes)} min, or let a superuser unlock you.",
            code="too_many_codes",
        )
    if not kind:
        raise Invalid("code", _WRONG, code="wrong_code")
    return kind


def prove(user: User, *, password: str, code: str, address: str, recent: bool) -> str:
    """Ask somebody who is signed in for what they have: a code, else the password, else a sign-in just now (`recent`).

    Returns which code it was, empty for none. Raises Invalid for a wrong one, Busy after too many, Conflict for whoever
    has neither and came a while ago.
    """
    if _is_confirmed(factor_of(user)):
        return check_code(user, code=code, address=address)
    if user.has_usable_password():
        confirm_password(user, password)
    elif not recent:
        raise Conflict("You signed in a while ago. Sign out and in again first.", code="sign_in_again")
    return ""


def _taken(factor: SecondFactor, code: str) -> str:
    """Which code of the factor this is, marked as used; empty for none."""
    digest = tokens.recovery_digest(code)
    # A recovery code needs no key of ours: it is also for the day on which that is lost.
    known = digest in factor.recovery
    step = None if known else totp.step_of(_opened(factor)["secret"], _digits(code), after=factor.last_step)
    if step is None and not known:
        return ""
    factor.failures = 0
    if step is not None:
        factor.last_step = step
        factor.save(update_fields=["last_step", "failures"])
        return "code"
    with acting(actor_of(factor.user)):
        factor.recovery = [each for each in factor.recovery if each != digest]
        factor.save(update_fields=["recovery", "failures"])
    return "recovery code"


def _count_failure(factor: SecondFactor, user: User, address: str) -> None:
    factor.failures += 1
    verb = "second factor refused"
    data: dict[str, object] = {"address": address}
    if factor.failures >= settings.AXES_FAILURE_LIMIT:
        factor.failures, factor.locked_until = 0, timezone.now() + settings.AXES_COOLOFF_TIME
        verb, data["minutes"] = "second factor locked", int(_lasting().total_seconds() // 60)
    factor.save(update_fields=["failures", "locked_until"])
    record(verb, object_type="user", object_id=user.pk, object_name=user.username, data=data)


def _lasting() -> timedelta:
    lasting: timedelta = settings.AXES_COOLOFF_TIME
    return lasting


def _confirmed(user: User) -> SecondFactor:
    factor = _locked(user)
    if factor is None or not _is_confirmed(factor):
        raise Conflict(f"{user.username} has no second factor.", code="no_second_factor")
    return factor


def _is_confirmed(factor: SecondFactor | None) -> bool:
    return factor is not None and factor.confirmed_at is not None


def _locked(user: User) -> SecondFactor | None:
    """The row, held until the end of the transaction: two who send one code at once do not both get in."""
    return SecondFactor.objects.select_for_update(no_key=True, of=("self",)).filter(user=user).first()


def _renew(factor: SecondFactor) -> list[str]:
    codes = [tokens.new_recovery_code() for _ in range(RECOVERY_CODES)]
    factor.recovery = [tokens.recovery_digest(each) for each in codes]
    factor.save()
    return codes


def _opened(factor: SecondFactor) -> dict[str, str]:
    """Raises InfrastructureError where the key is not the one it was sealed with."""
    if not factor.secrets:
        return {}
    try:
        return crypto.unseal(factor.pk, factor.secrets, factor.key_version, crypto.provider(), _TABLE)
    except ConfigurationError as error:
        raise InfrastructureError(
            "The codes of the app cannot be checked: the platform's master key is missing or another one. A recovery "
            "code opens all the same; whoever runs Manifold mends it (`manifold doctor`).",
            code="master_key_wrong",
        ) from error


def _seal(factor: SecondFactor, secrets: Mapping[str, str]) -> None:
    factor.secrets, factor.key_version = crypto.seal(factor.pk, secrets, crypto.provider(), _TABLE)


def _digits(code: str) -> str:
    return "".join(code.split())
