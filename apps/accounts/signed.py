"""Signed messages from outside (Standard Webhooks): their secrets, their signatures, and how many may come."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping

from standardwebhooks import Webhook, WebhookVerificationError

from apps.accounts import guesses
from apps.audit.refusals import Busy
from dataplane.errors import ConfigurationError

_ID = re.compile(r"[\x21-\x7e]{1,150}")


class NotSigned(ConfigurationError):
    """A message that is not from whom it should be, or is too old: nothing of it is taken."""


def new_secret() -> str:
    """256 random bits, written as Standard Webhooks want them."""
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def verify(secrets: Iterable[str], body: bytes, headers: Mapping[str, str], what: str) -> None:
    """Raises NotSigned where the signature fits none of the secrets, or its time is more than five minutes off.

    headers: by names in small letters. what: who was written to.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise NotSigned(
            "The message's body is no text in UTF-8, so nothing can be signed with it. Send JSON.", code="not_signed"
        ) from None
    for each in secrets:
        try:
            Webhook(each).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            # A header that is no base64 is a ValueError of the library.
            continue
        return
    raise NotSigned(
        f"The message is not signed with a secret of this {what}, or its time is more than five minutes off. Sign it "
        "as Standard Webhooks say, with the headers webhook-id, webhook-timestamp and webhook-signature.",
        code="not_signed",
    )


def message_id(headers: Mapping[str, str]) -> str:
    """What the sender calls a message, whatever it is sent for the second time. Raises NotSigned."""
    found = headers.get("webhook-id", "")
    if not _ID.fullmatch(found):
        raise NotSigned("The header webhook-id is not 1 to 150 visible ASCII characters.", code="not_signed")
    return found


def slow_down(what: str, said: str, most: int) -> None:
    """Raises Busy, with the seconds to wait as evidence, after more messages of a kind than this in this minute."""
    count, left = guesses.note(what)
    if count > most:
        raise Busy(
            f"More than {most} messages {said} in a minute. Send this one again in {left} seconds.",
            code="too_many_messages",
            evidence={"seconds": left},
        )
