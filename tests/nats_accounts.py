"""What an operator of NATS hands out: an account for the server's configuration, and a user's credentials file."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# What the letters stand for that keys begin with.
_KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
_SEED = 18 << 3


class Party:
    """A key pair of one kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._key = Ed25519PrivateKey.generate()

    @property
    def name(self) -> str:
        return _encoded(bytes([_KINDS[self._kind]]) + self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        kind = _KINDS[self._kind]
        return _encoded(bytes([_SEED | kind >> 5, (kind & 31) << 3]) + self._key.private_bytes_raw())

    def token(self, about: Party, **claims: Any) -> str:
        """What this party says about another, signed."""
        given = {"type": about._kind, "version": 2, **claims}
        body = {"jti": "any", "iat": 0, "iss": self.name, "name": "tests", "sub": about.name, "nats": given}
        text = ".".join(_plain(json.dumps(each).encode()) for each in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
        return f"{text}.{_plain(self._key.sign(text.encode()))}"


def handed_out() -> tuple[str, str]:
    """The server's side of it, as configuration; and the credentials file."""
    operator, system, account, user = Party("operator"), Party("account"), Party("account"), Party("user")
    most = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1}
    streams = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    config = (
        f"operator: {operator.token(operator)}\nsystem_account: {system.name}\nresolver: MEMORY\nresolver_preload: {{\n"
        f"  {system.name}: {operator.token(system, limits={**most, 'wildcards': True})}\n"
        f"  {account.name}: {operator.token(account, limits={**most, 'wildcards': True, **streams})}\n}}"
    )
    jwt = account.token(user, subs=-1, data=-1, payload=-1)
    parts = (("NATS USER JWT", jwt), ("USER NKEY SEED", user.seed))
    return config, "\n\n".join(f"-----BEGIN {name}-----\n{text}\n------END {name}------" for name, text in parts)


def _encoded(raw: bytes) -> str:
    whole = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(whole).decode().rstrip("=")


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
