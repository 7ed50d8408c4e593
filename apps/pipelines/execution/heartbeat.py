"""The heartbeat of one execution: it renews the lease, tells of progress, and hears that the work has to end.

A thread with a connection of its own, opened at the first beat: most steps are over before it. It waits on a pipe, not
on a lock, because the pipe is also where the kernel says that SIGTERM has come while the work is deep in a library.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Literal

import psycopg
import structlog
from django.conf import settings
from django.db import connection
from psycopg.types.json import Jsonb

from apps.pipelines import runlog
from apps.pipelines.execution import memory
from apps.pipelines.execution.claiming import Claim
from dataplane.steps.base import StepContext

log = structlog.get_logger(__name__)

Wish = Literal["cancel", "timeout", "lost", "shutdown"]
# How long interrupted work may take to come back before its process ends itself.
PATIENCE = 5.0
EXIT_STATUS = 75
# Lines that could not be written, because somebody held the run's row, are tried again after so long.
_SOON = 1.0

_BEAT = """
UPDATE pipelines_steprun s
SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s), progress = %(progress)s,
    peak_memory = greatest(s.peak_memory, %(memory)s)
FROM pipelines_run r
WHERE s.id = %(step)s AND s.fence = %(fence)s AND s.state = 'running' AND r.id = s.run_id
RETURNING r.state
"""
_REREAD = "SELECT state, fence FROM pipelines_steprun WHERE id = %(step)s"


class Heartbeat:
    """Use it as a context around an execution; `stop` it before the step is settled.

    `wish` is why the work was interrupted. `give_up` is called when interrupted work does not come back, in the
    heartbeat's thread and just before the process ends; without it the process is left alone. Within the context
    SIGTERM does not end the process: it lets go of the step first; `terminated` says that it has come.
    """

    def __init__(self, claim: Claim, give_up: Callable[[Wish], None] | None) -> None:
        self.claim = claim
        self.wish: Wish | None = None
        self._give_up = give_up
        self._context: StepContext | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._told = 0
        self._connection: psycopg.Connection[Any] | None = None
        timeout = claim.step.timeout_s
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._handler: Any = None
        self._wakeup = -1
        self._main = threading.current_thread() is threading.main_thread()
        self.terminated = False

    def __enter__(self) -> Heartbeat:
        try:
            # Without waiting until it runs, as `Thread.start` does: most steps are over before its first beat.
            _thread.start_new_thread(self._run, ())
        except Exception:
            # No thread can be had. The process goes on as it was; the step's lease runs out.
            os.close(self._read)
            os.close(self._write)
            raise
        if self._main:
            self._handler = signal.signal(signal.SIGTERM, self._on_term)
            self._wakeup = signal.set_wakeup_fd(self._write)
        return self

    def stop(self) -> None:
        """No more beats: from here on the caller alone decides about the step. The thread ends by itself."""
        with self._lock:
            self._stopped = True
        if self._main:
            signal.set_wakeup_fd(self._wakeup)
        os.close(self._write)

    def __exit__(self, *_: object) -> None:
        if not self._stopped:
            self.stop()
        if self._main:
            signal.signal(signal.SIGTERM, self._handler)
            if self.terminated and self._give_up is not None:
                os.kill(os.getpid(), signal.SIGTERM)

    def watch(self, context: StepContext) -> None:
        """From here on the heartbeat tells of this context's progress and may interrupt it."""
        self._context = context
        context.progress.show = self.hasten

    def hasten(self) -> None:
        """Let the next beat come now."""
        with self._lock:
            if not self._stopped:
                with suppress(BlockingIOError):
                    os.write(self._write, b"\0")

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        """The thread reads the signal's number from the pipe; the process itself ends when the step has let go."""
        self.terminated = True

    def _run(self) -> None:
        try:
            while self._wait():
                if self.wish is None:
                    self._beat()
                if self.wish is not None:
                    self._interrupt()
                    return
        finally:
            os.close(self._read)
            if self._connection is not None:
                self._connection.close()

    def _wait(self) -> bool:
        """Until the next beat; False when the work is over. A signal or the step's deadline is a wish at once."""
        pause = float(settings.HEARTBEAT_SECONDS)
        if self._connection is not None and self._told < len(self.claim.log.lines):
            pause = min(pause, _SOON)
        if self._deadline is not None:
            pause = max(0.0, min(pause, self._deadline - time.monotonic()))
        readable, _, _ = select.select([self._read], [], [], pause)
        if readable:
            heard = os.read(self._read, 64)
            if not heard:
                return False
            if signal.SIGTERM in heard:
                self.wish = "shutdown"
        elif self._deadline is not None and time.monotonic() >= self._deadline:
            self.wish = "timeout"
        return not self._stopped

    def _beat(self) -> None:
        """Renew the lease. A database that does not answer is no verdict: the fence decides when it is back."""
        arguments = {
            "step": self.claim.step.pk,
            "fence": self.claim.fence,
            "lease": settings.LEASE_SECONDS,
            "progress": self._progress(),
            "memory": memory.peak(),
        }
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(**connection.get_connection_params(), autocommit=True)
            row = self._connection.execute(_BEAT, arguments).fetchone()
            if row is None:
                row = self._connection.execute(_REREAD, arguments).fetchone()
                if not self._stopped and (row is None or tuple(row) != ("running", self.claim.fence)):
                    self.wish = "lost"
            elif row[0] == "stopping" and self.wish is None:
                self.wish = "cancel"
            if row is not None:
                self._tell(self._connection)
        except psycopg.Error as error:
            log.warning("heartbeat_missed", step=str(self.claim.step.pk), error=str(error).partition("\n")[0])
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _tell(self, connection: psycopg.Connection[Any]) -> None:
        """Write what the work has said since the last beat, unless the run's row is taken at this moment."""
        lines = self.claim.log.lines[self._told :]
        if lines:
            arguments = runlog.arguments(self.claim.speaker, lines, self._told + 1)
            self._told += len(connection.execute(runlog.WRITE_ASIDE, arguments).fetchall())

    def _progress(self) -> Jsonb | None:
        return None if self._context is None else Jsonb(self._context.progress.as_json())

    def _interrupt(self) -> None:
        """Interrupt the work; if it has not come back in five seconds, settle the step here and end the process."""
        log.info("step_interrupted", step=str(self.claim.step.pk), why=self.wish)
        end = time.monotonic() + PATIENCE
        while not self._stopped:
            for interrupt in list(self._context.interrupts) if self._context else []:
                try:
                    interrupt()
                except Exception as error:
                    log.info("interrupt_failed", error=repr(error))
            left = end - time.monotonic()
            if left <= 0:
                break
            # Again and again: the work may have been between two statements.
            if select.select([self._read], [], [], min(left, 0.25))[0] and not os.read(self._read, 64):
                return
        with self._lock:
            if self._stopped or self._give_up is None or self.wish is None:
                return
            try:
                self._give_up(self.wish)
            finally:
                os._exit(EXIT_STATUS)
