"""A credentials file of NATS: what a user may do, signed by the account, and the key that proves to be this user.

Where the server itself knows its users by their keys, such a key is all there is.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# A form of one line takes the ends of lines out.
_PARTS = re.compile(r"-{5}BEGIN ([A-Z ]+)-{5}\s*(\S+?)\s*-{6}END \1-{6}")
_USER = "U"
_USER_KEY = bytes([20 << 3])
# What a seed in base32 holds: two bytes that say of what kind it is, the seed, and a checksum.
_SEED = slice(2, 34)
_LENGTH = 36


@dataclass(frozen=True)
class NatsCredentials:
    """The two parts of such a file; `jwt` empty: the key alone."""

    jwt: str
    key: Ed25519PrivateKey

    @classmethod
    def read(cls, text: str) -> NatsCredentials:
        """Raises ValueError where the text is neither such a file nor the seed of a key."""
        found = dict(_PARTS.findall(text))
        jwt, seed = found.get("NATS USER JWT", ""), found.get("USER NKEY SEED", "") if found else text.strip()
        if (found and not jwt) or not seed.startswith(f"S{_USER}"):
            raise ValueError(
                "It is no credentials file of NATS. Paste the whole text of the .creds file, or the seed of an NKey "
                "(SU…)."
            )
        try:
            raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        except binascii.Error:
            raw = b""
        if len(raw) != _LENGTH or int.from_bytes(raw[-2:], "little") != binascii.crc_hqx(raw[:-2], 0):
            raise ValueError("The seed is damaged. Paste the whole text of the .creds file, or the whole seed.")
        return cls(jwt, Ed25519PrivateKey.from_private_bytes(raw[_SEED]))

    @property
    def user(self) -> str:
        """The public key, by which the server knows who has no more than that."""
        raw = _USER_KEY + self.key.public_key().public_bytes_raw()
        return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")

    def signed(self, nonce: str) -> bytes:
        """What answers the server's challenge."""
        return base64.b64encode(self.key.sign(nonce.encode()))
