"""Requests to an API: signed, repeated where that helps, and no faster than its server wants."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from dataplane.connectors.rest.packed import unpacked
from dataplane.connectors.rest.params import Session, headers_of
from dataplane.connectors.rest.signing import SignIn
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.http import Answer, Http, origin, shown, with_parameters
from dataplane.oauth import Grant

# Seconds before a request is sent again that failed in a way that may pass.
_PAUSES: tuple[float, ...] = (1, 2, 4, 8, 16)
# While somebody looks on, nobody waits for longer.
_HURRIED = 5
_WORTH_TELLING = 1
_NUMBER = re.compile(r"[0-9]{1,15}([.][0-9]{1,9})?")
# A reset that is larger than this is a moment, not a number of seconds.
_MOMENT = 1_000_000_000
# And of those, what is larger than this is told in milliseconds.
_MILLISECONDS = 100_000_000_000


@dataclass(frozen=True)
class Answered:
    """An answer that was read to its end."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


Judge = Callable[[Answered], Answered]


class Client:
    """A session with one API. hurried: somebody looks on, so nothing is tried more than twice or waited for long, and
    both tries together take no longer than one.

    grant: what lets it in where somebody has to consent.
    """

    def __init__(self, params: Session, networks: Sequence[str], *, hurried: bool, grant: Grant | None = None) -> None:
        # Whoever only tries a sample wants no page more than that; a grant is renewed by the thread that reads.
        self.may_ask_ahead = not hurried and grant is None
        self._params = params
        self._http = Http(networks)
        self._sign_in = SignIn(params, self._http, grant)
        self._home = origin(params.base_url)
        self._pauses = _PAUSES[:1] if hurried else _PAUSES
        self._patience = min(params.most_wait, _HURRIED) if hurried else params.most_wait
        self._hurried = hurried
        self._ends = math.inf
        self._rests_until = 0.0
        self._closed = threading.Event()
        self.limits = ""
        self.waited = 0.0

    def close(self) -> None:
        """End the session, for a thread that asks ahead, too: it asks nothing more, and waits no longer."""
        self._closed.set()
        self._http.close()

    def told(self) -> list[str]:
        """What people should know of this session: that it was held up."""
        if self.waited < _WORTH_TELLING:
            return []
        limits = f"; {self.limits}" if self.limits else ""
        return [f"{shown(self._params.base_url)} let us wait for {self.waited:,.0f} s{limits}."]

    def reach(self, url: str) -> int:
        """The status of an answer to a request that tells nothing of who asks."""
        self._http.deadline = time.monotonic() + self._params.most_seconds
        with self._http.get(url) as answer:
            return answer.status

    def get(self, url: str) -> Answered:
        """The answer to a request, good or 404. Raises ManifoldError."""
        return self._asked(url, None, _good)

    def post(self, url: str, document: bytes, judge: Judge) -> Answered:
        """The answer to a JSON document that only asks, so that it may be sent again. judge: raises what is wrong."""
        return self._asked(url, document, judge)

    def hide(self, text: str) -> str:
        """A text of the server's without what it was told in confidence."""
        return self._sign_in.hide(text)

    def _asked(self, url: str, document: bytes | None, judge: Judge) -> Answered:
        if origin(url) != self._home:
            raise ConfigurationError(
                f"The next page would be at {shown(url)}, another server than {shown(self._params.base_url)}. Nothing "
                "is asked there. If it is the same API, make its server the source's address.",
                code="next_elsewhere",
                evidence={"url": shown(url)},
            )
        self._pause(self._rests_until - time.monotonic())
        if self._hurried:
            self._ends = time.monotonic() + self._params.most_seconds
        for pause in self._pauses:
            try:
                return self._signed(url, document, judge)
            except TransientError as error:
                asked = error.evidence.get("retry_after")
                self._pause(pause if asked is None else asked, error)
        return self._signed(url, document, judge)

    def _signed(self, url: str, document: bytes | None, judge: Judge) -> Answered:
        """One try; a token that is not taken any more is renewed once."""
        answered = self._once(url, document)
        try:
            return judge(answered)
        except ConfigurationError as error:
            if not self._sign_in.renews_after(error):
                raise
        self._sign_in.forget()
        return judge(self._once(url, document))

    def _once(self, url: str, document: bytes | None) -> Answered:
        self._must_be_open()
        headers = {"Accept": "application/json", **headers_of(self._params.headers)}
        secret = self._sign_in.headers()
        self._http.deadline = min(time.monotonic() + self._params.most_seconds, self._ends)
        target = with_parameters(url, self._sign_in.query())
        told = (
            self._http.get(target, headers, secret)
            if document is None
            else self._http.post_json(target, document, headers, secret)
        )
        with told as answer:
            body = self._body(url, answer)
        self._heed(answer.headers)
        return Answered(url, answer.status, answer.headers, body)

    def _body(self, url: str, answer: Answer) -> bytes:
        pieces, size = [], 0
        # A refusal is told by its status, whatever was made of its words.
        for chunk in unpacked(answer) if 200 <= answer.status < 300 else answer.chunks():
            size += len(chunk)
            if size > self._params.largest:
                raise ConfigurationError(
                    f"{shown(url)} answers with more than {self._params.largest:,} bytes at once. Ask for fewer "
                    "records a page; a large file is a source of the kind http_files.",
                    code="answer_too_large",
                    evidence={"url": shown(url), "largest": self._params.largest},
                )
            pieces.append(chunk)
        return b"".join(pieces)

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Note what the server says of its limits; with nothing left, the next request waits until they are renewed."""
        limit, left, reset = (_limit(headers, name) for name in ("limit", "remaining", "reset"))
        if left is None:
            return
        of = f" of {limit:,.0f}" if limit is not None else ""
        self.limits = f"{left:,.0f}{of} requests are left"
        if left <= 0 and reset is not None:
            reset = reset / 1000 if reset > _MILLISECONDS else reset
            self._rests_until = time.monotonic() + (reset - time.time() if reset > _MOMENT else reset)

    def _pause(self, seconds: float, error: ManifoldError | None = None) -> None:
        if seconds <= 0:
            return
        if seconds > self._patience:
            raise error or TransientError(
                f"{shown(self._params.base_url)} takes no more requests for {seconds:,.0f} s. Raise "
                "*Longest wait* of the source to wait for it.",
                code="rate_limited",
                evidence={"retry_after": round(seconds)},
            )
        self._closed.wait(seconds)
        self._must_be_open()
        self.waited += seconds

    def _must_be_open(self) -> None:
        if self._closed.is_set():
            raise ConfigurationError(
                f"The session with {shown(self._params.base_url)} has ended before this page was wanted.",
                code="session_ended",
            )


def _limit(headers: Mapping[str, str], name: str) -> float | None:
    for prefix in ("x-ratelimit-", "ratelimit-", "x-rate-limit-"):
        told = headers.get(prefix + name, "").partition(";")[0].partition(",")[0].strip()
        if _NUMBER.fullmatch(told):
            return float(told)
    return None


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait; None where it says nothing."""
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _good(answered: Answered) -> Answered:
    """The answer, where its status is one of success, or 404. Raises the error of any other."""
    if 200 <= answered.status < 300 or answered.status == 404:
        return answered
    heed_status(answered)
    raise refused(answered)


def heed_status(answered: Answered) -> None:
    """Raises the error of a status that says that nobody is let in, or that nothing is answered now."""
    status, headers, where = answered.status, answered.headers, shown(answered.url)
    wait = asked_to_wait(headers)
    evidence = {"url": where, "status": status, **({} if wait is None else {"retry_after": wait})}
    spent = status == 403 and (wait is not None or _limit(headers, "remaining") == 0)
    if status == 429 or spent:
        asks = f", and asks to wait for {wait:,.0f} s: see *Longest wait* of the source" if wait else ""
        raise TransientError(
            f"{where} has been asked too often and refuses for now ({status}){asks}. If it stays so, ask "
            "for larger pages, or run less often.",
            code="rate_limited",
            evidence=evidence,
        )
    if status in (401, 403, 407):
        raise ConfigurationError(
            f"{where} does not let us in ({status}). Correct how the source signs in, and what it may read there.",
            code="authentication",
            evidence=evidence,
        )
    if status >= 500 or status in (408, 425):
        raise TransientError(
            f"{where} cannot answer now ({status}). If it stays so, look at the server.",
            code="server_error",
            evidence=evidence,
        )


def refused(answered: Answered) -> ConfigurationError:
    """The error for a status that says that the request itself is wrong."""
    where = shown(answered.url)
    return ConfigurationError(
        f"{where} answers {answered.status}. Correct the stream's path and its parameters.",
        code="http_status",
        evidence={"url": where, "status": answered.status},
    )
