"""The loop of the supervisor: collects logs, signs of life and deaths of its children, and restarts what died."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Literal

from manifold.supervisor.children import HOPELESS, Child, Role, Spawn, describe_exit
from manifold.supervisor.home import StartError
from manifold.supervisor.logfile import LogFile

Say = Callable[[str], None]


class Stopped(Exception):
    """Somebody asked the platform to stop: Ctrl-C or SIGTERM."""


class Watch:
    """Supervises children in one thread, so that forking stays safe.

    `changed` is called after a child was started again.
    """

    def __init__(self, logs: Path, say: Say, *, close_in_child: list[int], changed: Callable[[], None]) -> None:
        self.children: dict[str, Child] = {}
        self.logs = logs
        self.say = say
        self.changed = changed
        self.stop_requests = 0
        self._inherited = close_in_child
        self._selector = selectors.DefaultSelector()
        self._wake, self._wake_end = socket.socketpair()
        for end in (self._wake, self._wake_end):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only wakes the loop

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def add(
        self,
        name: str,
        *,
        role: Role | None = None,
        spawn: Spawn | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        patience: float = 10.0,
        once: bool = False,
    ) -> Child:
        """Start a child under a name; its log is `logs/<name>.log`."""
        child = Child(name, LogFile(self.logs / f"{name}.log"), role, spawn, stop_signal, patience, once)
        self.children[name] = child
        self._start(child)
        return child

    def _start(self, child: Child) -> None:
        own = [self._selector.fileno() if hasattr(self._selector, "fileno") else -1, self._wake.fileno()]
        own += [self._wake_end.fileno(), *self._inherited]
        for other in self.children.values():
            own += [end for end in (other.output, other.signs) if end >= 0 and other is not child]
        child.start([end for end in own if end >= 0])
        self._selector.register(child.output, selectors.EVENT_READ, child)
        if child.signs >= 0:
            self._selector.register(child.signs, selectors.EVENT_READ, child)

    def turn(self, seconds: float) -> None:
        """Wait for something to happen, at most so long, and deal with it."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.data is None:
                self._drain_wake()
            elif key.fd == key.data.signs:
                self._hear(key.data)
            else:
                self._copy_log(key.data)
        for child in self.children.values():
            if child.running and child.has_ended():
                self._on_end(child)

    def _drain_wake(self) -> None:
        try:
            while self._wake.recv(1024):
                pass
        except BlockingIOError:
            pass

    def _hear(self, child: Child) -> None:
        """The first sign says that it is ready, each later one that it is alive."""
        try:
            sign = os.read(child.signs, 4096)
        except BlockingIOError:
            return
        if sign:
            child.ready, child.heard = True, time.monotonic()
        else:
            self._close(child, "signs")

    def _copy_log(self, child: Child) -> bool:
        """One portion of its output; False when there is none now or there will be none any more."""
        try:
            chunk = os.read(child.output, 65536)
        except BlockingIOError:
            return False
        if chunk:
            child.log.write(chunk)
            return True
        self._close(child, "output")
        return False

    def _on_end(self, child: Child) -> None:
        while child.output >= 0 and self._copy_log(child):
            pass
        if child.signs >= 0:
            self._hear(child)
        if child.once or self.stop_requests:
            return
        # What it forked may still hold its port or its messages.
        child.kill_group()
        # What it forked may have held the other ends.
        self._close(child, "output")
        self._close(child, "signs")
        child.plan_restart()
        assert child.status is not None
        self.say(f"{child.name} {describe_exit(child.status)}; it is started again. Log: {child.log.path}")
        if child.quick_deaths == HOPELESS:
            self.say(
                f"{child.name} has died {HOPELESS} times right after its start and is tried again every 30 s. "
                f"The last lines of {child.log.path}:\n{child.log.tail()}"
            )

    def _close(self, child: Child, end: Literal["output", "signs"]) -> None:
        descriptor = getattr(child, end)
        if descriptor >= 0:
            self._selector.unregister(descriptor)
            os.close(descriptor)
            setattr(child, end, -1)

    def supervise(self) -> None:
        """One turn of a running platform: as `turn`, and what has waited long enough is started again."""
        waiting = [child.restart_at for child in self.children.values() if child.restart_at is not None]
        self.turn(max(0.0, min([1.0, *(at - time.monotonic() for at in waiting)])))
        due = [each for each in self.children.values() if each.restart_at and each.restart_at <= time.monotonic()]
        for child in due:
            self._start(child)
        if due:
            self.changed()

    def until(self, happened: Callable[[], bool], what: str, seconds: float, *, poll: float = 0.05) -> None:
        """Turn until it happened. Raises StartError when it takes too long, Stopped when somebody wants an end."""
        deadline = time.monotonic() + seconds
        while not happened():
            if self.stop_requests:
                raise Stopped
            if time.monotonic() > deadline:
                raise StartError(f"{what} was not ready after {seconds:.0f} s. Its log: {self.logs}")
            self.turn(poll)

    def until_ready(self, child: Child, happened: Callable[[], bool], seconds: float = 60) -> None:
        """The same for one child; one that ends instead is told with the end of its log."""

        def check() -> bool:
            if child.status is not None:
                raise StartError(
                    f"{child.name} {describe_exit(child.status)} while starting. "
                    f"The last lines of {child.log.path}:\n{child.log.tail(8)}"
                )
            return happened()

        self.until(check, child.name, seconds)

    def until_done(self, child: Child, seconds: float = 600) -> int:
        """Wait for a child that runs once; its exit status."""
        self.until(lambda: child.status is not None, child.name, seconds)
        assert child.status is not None
        return child.status

    def stop(self, names: list[str]) -> None:
        """Ask these children to end together; kill what is left when their patience is over.

        A second Ctrl-C ends the patience.
        """
        stopping = [self.children[name] for name in names if name in self.children]
        for child in stopping:
            child.restart_at, child.once = None, True
            child.send(child.stop_signal)
        asked, deadline = self.stop_requests, time.monotonic() + max((each.patience for each in stopping), default=0)
        while any(each.running for each in stopping):
            if time.monotonic() > deadline or self.stop_requests > asked + 1:
                for child in stopping:
                    if child.running:
                        self.say(f"{child.name} did not stop in time and was killed.")
                        child.kill_group()
                deadline = float("inf")
            self.turn(0.1)
        for child in stopping:
            if child.pid:
                child.kill_group()
