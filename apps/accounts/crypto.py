"""Secrets at rest: AES-256-GCM under a versioned master key, bound to the row and field they belong to.

A ciphertext that was copied to another row, field or key version does not open. The provider is asked at each use; the
first one reads MANIFOLD_MASTER_KEY or its file: `version:key`, several separated by commas, the newest first.
"""

from __future__ import annotations

import base64
import binascii
import os
import uuid
from collections.abc import Mapping
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dataplane.errors import ConfigurationError

_NONCE = 12


class KeyProvider(Protocol):
    """Where master keys come from: the environment, a file, or a key management service."""

    def current(self) -> int:
        """The version to encrypt with."""

    def key(self, version: int) -> bytes:
        """The 32 bytes of a version. Raises ConfigurationError for one that is not there."""


class Keys:
    """Keys written as text. Raises ConfigurationError for a text that is none."""

    def __init__(self, text: str) -> None:
        self._keys = dict(_parsed(part.strip()) for part in reversed(text.split(",")) if part.strip())
        if not self._keys:
            raise ConfigurationError(
                "There is no master key to encrypt credentials with. Set MANIFOLD_MASTER_KEY or "
                "MANIFOLD_MASTER_KEY_FILE; `manifold up` generates one.",
                code="master_key_missing",
            )

    def current(self) -> int:
        return next(reversed(self._keys))

    def key(self, version: int) -> bytes:
        if version not in self._keys:
            raise ConfigurationError(
                f"The master key's version {version} is not there. Add it to MANIFOLD_MASTER_KEY, behind the newest, "
                f"as {version}:key, or enter the credentials again.",
                code="master_key_missing",
                evidence={"version": version},
            )
        return self._keys[version]


def provider() -> KeyProvider:
    """The keys of this installation as they stand now."""
    from django.conf import settings  # noqa: PLC0415  `manifold doctor` opens what is sealed without Django

    return Keys(settings.MASTER_KEY())


def seal(row: uuid.UUID, secrets: Mapping[str, str], keys: KeyProvider, table: str) -> tuple[dict[str, str], int]:
    """Encrypt the fields of a row of this table; returns the ciphertexts and the key's version."""
    version = keys.current()
    cipher = AESGCM(keys.key(version))
    sealed = {}
    for field, text in secrets.items():
        nonce = os.urandom(_NONCE)
        body = nonce + cipher.encrypt(nonce, text.encode(), _bound_to(table, row, field, version))
        sealed[field] = base64.b64encode(body).decode()
    return sealed, version


def unseal(row: uuid.UUID, sealed: Mapping[str, str], version: int, keys: KeyProvider, table: str) -> dict[str, str]:
    """Decrypt the fields of a row of this table. Raises ConfigurationError for one altered or from elsewhere."""
    cipher = AESGCM(keys.key(version))
    opened = {}
    for field, text in sealed.items():
        try:
            body = base64.b64decode(text, validate=True)
            opened[field] = cipher.decrypt(body[:_NONCE], body[_NONCE:], _bound_to(table, row, field, version)).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise ConfigurationError(
                f"The stored {field} cannot be opened: it was altered, moved from another place, or encrypted with "
                "another master key. Enter it again.",
                code="credential_unreadable",
                evidence={"credential": str(row), "field": field, "key_version": version},
            ) from None
    return opened


def _bound_to(table: str, row: uuid.UUID, field: str, version: int) -> bytes:
    return "\x1f".join((table, str(row), field, str(version))).encode()


def _parsed(text: str) -> tuple[int, bytes]:
    head, colon, tail = text.partition(":")
    number, encoded = (head, tail) if colon else ("1", head)
    try:
        key = base64.b64decode(encoded, validate=True)
        version = int(number)
    except (ValueError, binascii.Error):
        key, version = b"", 0
    if len(key) != 32 or version < 1:
        raise ConfigurationError(
            "MANIFOLD_MASTER_KEY is not 32 bytes in base64, with a version of 1 or more and a colon in front of it.",
            code="master_key_invalid",
        )
    return version, key
