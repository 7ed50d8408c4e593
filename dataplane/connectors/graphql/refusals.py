"""What a server of GraphQL refuses: it says so in its answer, whose status may well be one of success."""

from __future__ import annotations

import re

import duckdb

from dataplane.connectors.rest.client import Answered, Client, asked_to_wait, heed_status
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.failures import duckdb_errors
from dataplane.http import shown

_MOST_WORDS = 300
# By its code where an error has one, else by its message.
_TOO_OFTEN = re.compile(r"rate.?limit|throttl|too.?many.?requests", re.IGNORECASE)
_NOT_LET_IN = re.compile(r"unauth|not.authenticated|forbidden|access.?denied", re.IGNORECASE)
_FORBIDDEN = re.compile(r"forbidden|access.?denied", re.IGNORECASE)
_LATER = re.compile(r"internal|unavailable|time.?out", re.IGNORECASE)
# Nobody has agreed where the code stands.
_ERRORS = (
    "SELECT json_type(t, '$.errors'), list_transform(json_extract(t, '$.errors[*]')[:20], lambda e: "
    "coalesce(e ->> '$.extensions.code', e ->> '$.type', e ->> '$.code', '')), "
    "list_transform(json_extract(t, '$.errors[*]')[:20], lambda e: coalesce(e ->> '$.message', '')) "
    "FROM (SELECT CAST($1 AS VARCHAR) AS t)"
)


class Judge:
    """Judges the answers to one stream's query."""

    def __init__(self, client: Client, connection: duckdb.DuckDBPyConnection, stream: str) -> None:
        self._client = client
        self._connection = connection
        self._stream = stream

    def __call__(self, answered: Answered) -> Answered:
        """The answer, where it holds what was asked for. Raises ManifoldError for one with errors, also beside data:
        what they left out would be lost."""
        heed_status(answered)
        found = self._errors(answered)
        if found:
            raise self._refusal(answered, found)
        if 200 <= answered.status < 300:
            return answered
        where = shown(answered.url)
        raise ConfigurationError(
            f"{where} answers {answered.status} to the query {self._stream}. Correct the source's address: queries are "
            "sent to no other.",
            code="http_status",
            evidence={"url": where, "status": answered.status, "stream": self._stream},
        )

    def _errors(self, answered: Answered) -> list[tuple[str, str]]:
        """Code and message of each error."""
        if b"errors" not in answered.body:
            return []
        with duckdb_errors():
            try:
                text = answered.body.decode("utf-8-sig")
                row = self._connection.execute(_ERRORS, [text]).fetchone()
            except (UnicodeDecodeError, duckdb.InvalidInputException):
                return []
        kind, codes, messages = row or (None, [], [])
        found = list(zip(codes or (), messages or (), strict=True))
        return found or ([("", "")] if kind not in (None, "NULL", "ARRAY") else [])

    def _refusal(self, answered: Answered, found: list[tuple[str, str]]) -> ManifoldError:
        words = self._words(found)
        where, stream = shown(answered.url), self._stream
        wait = asked_to_wait(answered.headers)
        evidence = {"url": where, "stream": stream, "said": words}
        if any(_TOO_OFTEN.search(code or message) for code, message in found):
            return TransientError(
                f"{where} is asked for {stream} too often: {words} If it stays so, ask for fewer "
                "records a page, or run less often.",
                code="rate_limited",
                evidence={**evidence, **({} if wait is None else {"retry_after": wait})},
            )
        if any(_NOT_LET_IN.search(code or message) for code, message in found):
            return ConfigurationError(
                f"{where} does not let us read {stream}: {words} Correct how the source signs in, and what it may read "
                "there.",
                code="authentication",
                evidence={
                    **evidence,
                    "forbidden": any(_FORBIDDEN.search(code or message) for code, message in found),
                },
            )
        if any(_LATER.search(code) for code, _ in found):
            return TransientError(
                f"{where} cannot answer the query {stream} now: {words} If it stays so, look at the server.",
                code="server_error",
                evidence=evidence,
            )
        return ConfigurationError(
            f"{where} refuses the query {stream}: {words} Correct it in *Queries* of the source.",
            code="query_refused",
            evidence=evidence,
        )

    def _words(self, found: list[tuple[str, str]]) -> str:
        """What the server says, in quotes and so short that a page can show it."""
        said = "; ".join(dict.fromkeys(message or code for code, message in found if message or code))
        said = " ".join("".join(each if each.isprintable() else " " for each in self._client.hide(said)).split())
        if not said:
            return "it does not say why."
        return f"“{said[:_MOST_WORDS]}…”." if len(said) > _MOST_WORDS else f"“{said}”."
