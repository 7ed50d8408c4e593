"""Tokens, invitations and recovery codes as text: how one is made, and the keyed digest the database keeps of it."""

from __future__ import annotations

import secrets

from django.utils.crypto import salted_hmac

PREFIX = "mf_"
_HINT = len(PREFIX) + 6
# 32 letters and digits: no l, o, 0 and 1.
_PLAIN = "abcdefghijkmnpqrstuvwxyz23456789"


def new_token() -> str:
    """`mf_` and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """HMAC-SHA-256 under a key derived from the secret key: a stolen database cannot be searched for tokens."""
    return salted_hmac("manifold.accounts.tokens", token, algorithm="sha256").hexdigest()


def hint(token: str) -> str:
    """The beginning, by which a person tells their tokens apart."""
    return token[:_HINT]


def new_invitation() -> str:
    """256 random bits that can stand in an address."""
    return secrets.token_urlsafe(32)


def invitation_digest(text: str) -> str:
    """As `digest`, under a key of its own."""
    return salted_hmac("manifold.accounts.invitations", text, algorithm="sha256").hexdigest()


def new_recovery_code() -> str:
    """60 random bits in letters and digits that nobody mistakes: `k3qd7x-7mzp2w`."""
    letters = "".join(secrets.choice(_PLAIN) for _ in range(12))
    return f"{letters[:6]}-{letters[6:]}"


def recovery_digest(code: str) -> str:
    """As `digest`, under a key of its own; however the code was typed."""
    plain = "".join(each for each in code.lower() if each in _PLAIN)
    return salted_hmac("manifold.accounts.recovery", plain, algorithm="sha256").hexdigest()
