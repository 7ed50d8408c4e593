"""A service account of Google's: its key signs a wish for a token, which is good for an hour."""

from __future__ import annotations

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dataplane import oauth
from dataplane.http import Http, origin
from dataplane.oauth import Tokens

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
_LASTS = 3600


class ServiceAccount:
    """Who it is, and what it asks for tokens with."""

    def __init__(self, email: str, key: RSAPrivateKey, key_id: str, token_url: str) -> None:
        self.email = email
        self._key = key
        self._key_id = key_id
        self._token_url = token_url

    @classmethod
    def parse(cls, text: str) -> ServiceAccount:
        """The account of a key's JSON file. Raises ValueError, which repeats nothing of it."""
        try:
            told = json.loads(text)
            email, url, number = told["client_email"], told["token_uri"], told.get("private_key_id", "")
            key = load_pem_private_key(told["private_key"].encode(), None)
            origin(url)
        except Exception:
            raise ValueError(
                "It is no key of a service account. Paste the whole JSON file that was downloaded."
            ) from None
        if not (isinstance(key, RSAPrivateKey) and isinstance(email, str) and isinstance(number, str)):
            raise ValueError("It is no key of a service account. Paste the whole JSON file that was downloaded.")
        return cls(email, key, number, url)

    def tokens(self, http: Http) -> Tokens:
        """A token that may read storage, and nothing else. Raises ManifoldError."""
        now = int(time.time())
        claims = {"iss": self.email, "scope": _SCOPE, "aud": self._token_url, "iat": now, "exp": now + _LASTS}
        wish = jwt.encode(claims, self._key, "RS256", headers={"kid": self._key_id} if self._key_id else None)
        return oauth.by_assertion(http, self._token_url, wish)
