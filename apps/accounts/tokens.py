"""API tokens and invitations as text: how one is made, and the keyed digest that is all the database keeps of it."""

from __future__ import annotations

import secrets

from django.utils.crypto import salted_hmac

PREFIX = "mf_"
_HINT = len(PREFIX) + 6


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
