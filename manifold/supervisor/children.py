"""One supervised child: forked from this process or a program of its own, with its log and its restarts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from manifold.embedded import lifeline
from manifold.supervisor import leftovers
from manifold.supervisor.logfile import LogFile

Ready = Callable[[], None]
Role = Callable[[Ready], int]
# Starts a program that writes its log to the given pipe.
Spawn = Callable[[int], "subprocess.Popen[bytes]"]

ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
QUICK_DEATH = 10.0
LONGEST_PAUSE = 30.0
HOPELESS = 10


@dataclass
class Child:
    """What runs under a name, and how it is asked to stop."""

    name: str
    log: LogFile
    role: Role | None = None
    spawn: Spawn | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    # A process that has done its work is not started again.
    once: bool = False

    pid: int = 0
    status: int | None = None
    ready: bool = False
    started: float = 0.0
    quick_deaths: int = 0
    restart_at: float | None = None
    output: int = -1
    signs: int = -1
    heard: float = 0.0
    identity: leftovers.Recorded = field(default_factory=dict)
    _program: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.pid != 0 and self.status is None

    def start(self, close_in_child: list[int]) -> None:
        """Start it. `output` and, for a forked child, `signs` are then pipes to be read."""
        self.output, log_end = os.pipe()
        self.status, self.ready, self.restart_at = None, False, None
        self.started = self.heard = time.monotonic()
        if self.spawn is not None:
            self._program = self.spawn(log_end)
            self.pid, self.signs = self._program.pid, -1
        else:
            self.signs, ready_end = os.pipe()
            parent = os.getpid()
            # A signal that came before the child has its own handlers would be swallowed by those of the supervisor.
            signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP)
            self.pid = os.fork()
            if self.pid == 0:
                self._become(parent, log_end, ready_end, [*close_in_child, self.output, self.signs])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_STOP)
            os.close(ready_end)
        os.close(log_end)
        for descriptor in (self.output, self.signs):
            if descriptor >= 0:
                os.set_blocking(descriptor, False)
        self.identity = leftovers.record(self.pid)

    def _become(self, parent: int, log_end: int, ready_end: int, close: list[int]) -> None:
        """In the forked child: stand alone, do the role, never come back."""
        status = 70
        try:
            os.setsid()
            # A supervisor that was killed takes the embedded services along: nothing is left to stop for in peace, and
            # a worker that waits for its broker would wait for ever. Leases tell what it was at.
            lifeline.ask_for_death_signal(signal.SIGKILL)
            if os.getppid() != parent:  # it died before the line above
                os._exit(status)
            signal.set_wakeup_fd(-1)
            for number in (*ASKED_TO_STOP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_STOP)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log_end, 1)
            os.dup2(log_end, 2)
            for descriptor in (*close, log_end):
                os.close(descriptor)
            _name_process(self.name)
            assert self.role is not None
            status = self.role(_telling(ready_end))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:  # whatever it is, it belongs in this child's log
            traceback.print_exc()
        finally:
            os._exit(status)

    def has_ended(self) -> bool:
        """Collect its exit status, if it has ended."""
        if not self.running:
            return self.pid != 0
        if self._program is not None:
            self.status = self._program.poll()
        else:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def plan_restart(self) -> None:
        """Later after each quick death in a row, at once after a long life."""
        lived = time.monotonic() - self.started
        self.quick_deaths = self.quick_deaths + 1 if lived < QUICK_DEATH else 0
        pause = min(LONGEST_PAUSE, 0.25 * 2**self.quick_deaths) if self.quick_deaths else 0.0
        self.restart_at = time.monotonic() + pause

    def send(self, number: signal.Signals) -> None:
        if self.running:
            # Our own child: the number is ours until we have collected its status.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill it and everything it forked."""
        self.send(signal.SIGKILL)
        leftovers.stop([self.identity], signal.SIGKILL, 2)


def _telling(end: int) -> Ready:
    """A sign of life to the supervisor. One that does not listen, or is gone, holds nobody up."""
    os.set_blocking(end, False)

    def tell() -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(end, b"1")

    return tell


def _name_process(name: str) -> None:
    """So that `ps` and `top` tell the children of one parent apart (where the system allows it)."""
    try:
        with open(f"/proc/{os.getpid()}/comm", "w", encoding="ascii") as comm:
            comm.write(f"manifold-{name}"[:15])
    except OSError:
        pass


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
