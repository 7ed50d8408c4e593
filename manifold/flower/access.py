"""How the console proves to Flower that it is the console. Imports nothing of Flower, which weighs a lot."""

from __future__ import annotations

import hashlib
import hmac

from manifold import environment

PREFIX = "flower"
USER = "manifold"


def password() -> str:
    """What the console shows to Flower; both know the key that it is made from."""
    return hmac.new(environment.SECRET_KEY.read().encode(), b"manifold flower", hashlib.sha256).hexdigest()
