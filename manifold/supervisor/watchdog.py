"""Notices a worker that lives but no longer takes messages, and replaces it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from manifold.supervisor.watch import Watch

PATIENCE = 60.0
# Longer between two looks means that this process itself stood still, and its children with it.
LONGEST_BLINK = 10.0


class Watchdog:
    """Kills a watched child that has given no sign of life for a minute; the supervisor then starts it again.

    While the broker does not answer a worker is silent because it tries to reconnect: its steps go on, and it is left
    alone until the broker has answered for a minute.
    """

    def __init__(
        self, watch: Watch, names: tuple[str, ...], broker_answers: Callable[[], bool], patience: float = PATIENCE
    ) -> None:
        self.watch = watch
        self.patience = patience
        self.names = names
        self.broker_answers = broker_answers
        self._looked = time.monotonic()

    def look(self) -> None:
        """Call it often; it is cheap while all is well."""
        now = time.monotonic()
        stood_still, self._looked = now - self._looked > LONGEST_BLINK, now
        for child in (self.watch.children[name] for name in self.names):
            if not child.running or now - child.heard <= self.patience:
                continue
            if stood_still or not self.broker_answers():
                child.heard = now
                continue
            self.watch.say(f"{child.name} has taken no message for {self.patience:.0f} s and is replaced.")
            child.heard = now
            child.send(signal.SIGKILL)
