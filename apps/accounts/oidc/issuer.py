"""What the issuer says of itself (OpenID Connect Discovery 1.0), and the keys it signs with."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from django.conf import settings

from apps.accounts.oidc.outbound import ask
from dataplane.errors import ConfigurationError, TransientError

# Signatures with a key that only the issuer has; none with a shared secret, and never `none`.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_KEEP_SECONDS = 600
# An issuer that is silent is not asked again by everybody who comes.
_SILENT_SECONDS = 15
_OLD_SECONDS = 24 * 3600
_NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass
class Kept:
    """What was read of an issuer, and when; shared by the threads of a process."""

    read_at: float = 0.0
    tried_at: float = 0.0
    document: dict[str, Any] = field(default_factory=dict)
    keys: jwt.PyJWKSet | None = None
    failure: TransientError | None = None


_lock = threading.Lock()
_kept: dict[str, Kept] = {}


def is_configured() -> bool:
    return bool(settings.OIDC_ISSUER)


def document() -> dict[str, Any]:
    """The discovery document, kept for ten minutes. Raises IssuerSilent, or ConfigurationError for a wrong one."""
    return _current().document


def key_of(token: str) -> jwt.PyJWK:
    """The key that a token says it is signed with. Raises jwt.PyJWTError for an unknown one.

    An issuer renews its keys when it likes: a name that is not known is looked for once more.
    """
    name = jwt.get_unverified_header(token).get("kid")
    kept = _current()
    found = _named(kept.keys, name) if kept.keys is not None else None
    if found is None:
        kept.keys = jwt.PyJWKSet.from_dict(ask("GET", kept.document["jwks_uri"]))
        found = _named(kept.keys, name)
    if found is None:
        raise jwt.InvalidKeyError("The issuer does not publish the key of this token.")
    return found


def _named(keys: jwt.PyJWKSet, name: str | None) -> jwt.PyJWK | None:
    if name is None:
        return keys.keys[0] if len(keys.keys) == 1 else None
    return next((each for each in keys.keys if each.key_id == name), None)


def _current() -> Kept:
    """What is known of the issuer, read anew when it is old; what was known yesterday serves while it is silent."""
    issuer: str = settings.OIDC_ISSUER
    with _lock:
        kept = _kept.setdefault(issuer, Kept())
        now = time.monotonic()
        known = bool(kept.document)
        waits = kept.failure is not None and now - kept.tried_at < _SILENT_SECONDS
        if not waits and not (known and now - kept.read_at <= _KEEP_SECONDS):
            try:
                kept = _kept[issuer] = Kept(now, now, _read(issuer))
            except TransientError as error:
                kept.failure, kept.tried_at = error, time.monotonic()
        if kept.failure is not None and not (known and now - kept.read_at < _OLD_SECONDS):
            raise kept.failure
        return kept


def _read(issuer: str) -> dict[str, Any]:
    found = ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    missing = [each for each in _NEEDED if not isinstance(found.get(each), str)]
    if missing:
        raise _wrong(f"its discovery document has no {missing[0]}")
    if found["issuer"].rstrip("/") != issuer.rstrip("/"):
        raise _wrong(f"it calls itself {found['issuer'][:200]}")
    if issuer.startswith("https:"):
        addresses = [*_NEEDED, *(["userinfo_endpoint"] if isinstance(found.get("userinfo_endpoint"), str) else [])]
        plain = [each for each in addresses if not found[each].startswith("https:")]
        if plain:
            raise _wrong(f"its {plain[0]} is not https")
    return found


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"Nobody can sign in through MANIFOLD_OIDC_ISSUER: {why}. Tell whoever runs Manifold to correct it.",
        code="issuer_wrong",
    )
