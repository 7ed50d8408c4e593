"""Keys under a passphrase: scrypt makes a key of it, AES-256-GCM seals them, bound to the rest of the manifest."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from manifold.backup.errors import BackupError

LEAST_PASSPHRASE = 12
# 128 MB and about half a second for each guess. What a file asks for beyond that is not done for it.
_COST = {"n": 2**17, "r": 8, "p": 1}
_NONCE = 12


def seal(secrets: Mapping[str, str], passphrase: str, bound_to: bytes) -> dict[str, Any]:
    """The secrets as text that only the passphrase opens, beside the same `bound_to`. Refuses a short one."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise BackupError(f"The passphrase is too short: take {LEAST_PASSPHRASE} characters or more.")
    salt, nonce = os.urandom(16), os.urandom(_NONCE)
    text = json.dumps(dict(secrets)).encode()
    sealed = nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, text, bound_to)
    return {"kdf": "scrypt", **_COST, "salt": base64.b64encode(salt).decode(), "box": base64.b64encode(sealed).decode()}


def unseal(sealed: Mapping[str, Any], passphrase: str, bound_to: bytes) -> dict[str, str]:
    """The secrets again. Raises BackupError for another passphrase, or where anything was altered."""
    if {name: sealed.get(name) for name in ("kdf", *_COST)} != {"kdf": "scrypt", **_COST}:
        raise BackupError("The keys are sealed in a way that this version does not know. Upgrade Manifold first.")
    box = base64.b64decode(str(sealed["box"]))
    try:
        key = _key(passphrase, base64.b64decode(str(sealed["salt"])))
        opened: dict[str, str] = json.loads(AESGCM(key).decrypt(box[:_NONCE], box[_NONCE:], bound_to))
    except InvalidTag as error:
        raise BackupError("The passphrase does not open this backup. Nothing was changed; try again.") from error
    return opened


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **_COST).derive(passphrase.encode())
