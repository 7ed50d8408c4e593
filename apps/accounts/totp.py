"""One-time codes (RFC 6238): SHA-1, six digits, a new one every 30 seconds, as every authenticator app makes them."""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
import time
from urllib.parse import quote, urlencode

STEP = 30
DIGITS = 6
# Clocks of phones differ: the code before and the one after are heard, too.
_TOLERANCE = 1


def new_secret() -> str:
    """160 random bits in base32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: str, step: int) -> str:
    """The code of the step-th half minute since 1970."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), "sha1")
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(secret: str, code: str, *, after: int = 0) -> int | None:
    """The step whose code this is, now or one step off; None for a wrong one, and for one of `after` or earlier."""
    now = int(time.time()) // STEP
    steps = range(max(now - _TOLERANCE, after + 1), now + _TOLERANCE + 1)
    return next((each for each in steps if hmac.compare_digest(code_at(secret, each).encode(), code.encode())), None)


def address(secret: str, username: str, issuer: str) -> str:
    """What an app reads from the drawing."""
    label = quote(f"{issuer}:{username}")
    return f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': issuer}, quote_via=quote)}"
