"""A session with a server: the rows of a SELECT in batches of Arrow, and what its driver says when it fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from dataplane.connectors.databases.stages import CONNECT_SECONDS
from dataplane.connectors.warehouses import faults
from dataplane.connectors.warehouses.types import Native
from dataplane.errors import ManifoldError
from dataplane.patience import within

BATCH_ROWS = 10_000
# A server is to tell itself that a statement has taken too long, so it has a little longer to tell it.
GRACE_SECONDS = 10.0
SIGN_IN_SECONDS = 2 * CONNECT_SECONDS
AGAIN_SECONDS = 300.0
# Over HTTP, too, databases may lie in private networks; metadata services are refused all the same.
ANYWHERE = ("0.0.0.0/0", "::/0")


class Session(ABC):
    """An open session. Whatever a driver raises leaves it as a ManifoldError."""

    @abstractmethod
    def rows(self, sql: str) -> pa.RecordBatchReader:
        """The rows of a SELECT, fetched while they are asked for; those of the one before are let go."""

    @abstractmethod
    def columns(self, query: str, what: str) -> list[Native]:
        """The columns of an operator's query, of the stream `what`."""

    @abstractmethod
    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        """A failure of the driver's in our words, `what` being what was read; None for one that is none of its."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def ask(self, sql: str, what: str) -> list[tuple[Any, ...]]:
        """The rows of a small answer."""
        with self.told(what):
            table = self.rows(sql).read_all()
        return list(zip(*(each.to_pylist() for each in table.columns), strict=True))

    def one(self, sql: str, what: str) -> Any:
        """The first value of the first row; None where there is none."""
        rows = self.ask(sql, what)
        return rows[0][0] if rows else None

    @contextmanager
    def opening(self) -> Iterator[None]:
        """What makes the session. A connection that it has opened when it fails is let go of."""
        try:
            with self.told(faults.SIGN_IN):
                yield
        except BaseException:
            with suppress(Exception):
                self.close()
            raise

    def signed_in(self, connect: Callable[[], Any], *name: Hashable) -> Any:
        """What a driver connects to; TransientError `answer_timeout` after `SIGN_IN_SECONDS`.

        Drivers wait for ever for a server that takes the connection and says nothing, or try again for minutes. name:
        whom it asks for.
        """
        return within(SIGN_IN_SECONDS, connect, name=name, again_after=AGAIN_SECONDS)

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Failures of the driver within, in our words."""
        try:
            yield
        except ManifoldError:
            raise
        except Exception as error:
            known = self.explained(error, what)
            if known is None:
                raise
            raise known from None


class Flow:
    """The rows of a SELECT on their way into DuckDB, which would tell of a failure in its own words only."""

    def __init__(self, session: Session, sql: str, what: str) -> None:
        self.failure: ManifoldError | None = None
        self._session, self._what = session, what
        with session.told(what):
            self._rows = session.rows(sql)
        self.reader = pa.RecordBatchReader.from_batches(self._rows.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            with self._session.told(self._what):
                yield from self._rows
        except ManifoldError as error:
            self.failure = error
            raise
