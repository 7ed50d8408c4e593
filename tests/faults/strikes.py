"""What is done to the workers, the broker and the database while runs are under way."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import redis
from django.db.models import Q

from apps.pipelines.models import StepRun
from tests.cluster import Cluster

POINTS = ("claimed", "prepared", "written", "before_commit", "in_commit", "committed", "published")
# Loads into outside tables pass these, too.
OUTSIDE = ("outside_begun", "outside_copied", "outside_settled", "outside_kept")
WORKERS = ("alpha", "beta")
SYSTEM = "system"
MAIN_EVERY = 50


@dataclass
class Death:
    """A worker's child that died with a step in hand; `seconds` until somebody else had it, or it was settled."""

    step: uuid.UUID
    fence: int
    at: float
    seconds: float | None = None


@dataclass
class Strikes:
    """Strikes one after the other. `kills` counts processes that were killed; `done` every kind of strike."""

    cluster: Cluster
    orders: Path
    lease: float
    random: random.Random
    kills: int = 0
    done: Counter[str] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    # Every process that was killed, stopped, asked to end, or cut off from the database.
    struck: set[int] = field(default_factory=set)
    _frozen: list[tuple[threading.Timer, int]] = field(default_factory=list)
    _number: int = 0

    def strike(self) -> None:
        """One strike at random; every fiftieth kill is a main process."""
        if self.kills % MAIN_EVERY == MAIN_EVERY - 1:
            self.kill_main()
            return
        kinds = {
            self.kill_child: 50,
            self.order_kill: 40,
            self.end_child: 5,
            self.freeze_child: 6,
            self.order_stop: 3,
            self.freeze_main: 2,
            self.flush_broker: 3,
            self.restart_broker: 2,
            self.restart_database: 2,
        }
        self.random.choices(list(kinds), weights=list(kinds.values()))[0]()

    def kill_child(self) -> None:
        """A child that holds a step, where there is one."""
        pids = self._children()
        if not pids:
            return
        busy = [pid for pid in pids if self._held(pid)]
        pid = self.random.choice(busy or pids)
        held = self._held(pid)
        if self._signal(pid, signal.SIGKILL):
            self._note_death(held)
            self.kills += 1
            self.done["child killed"] += 1

    def end_child(self) -> None:
        """As a shutdown does: it hands its step back."""
        pids = self._children()
        if pids:
            self._signal(self.random.choice(pids), signal.SIGTERM)
            self.done["child asked to end"] += 1

    def order_kill(self) -> None:
        """The next child that passes a place kills itself there."""
        self._order(self.random.choice(POINTS + OUTSIDE), "kill")

    def order_stop(self) -> None:
        self._order(self.random.choice(POINTS + OUTSIDE), "stop")

    def kill_main(self) -> None:
        name = self.random.choice([*WORKERS, SYSTEM])
        for child in self.cluster.children(name):
            self.struck.add(child.pid)
            self._note_death(self._held(child.pid))
        self.cluster.kill(name)
        self.kills += 1
        self.done["main process killed"] += 1
        self.start(name)

    def freeze_child(self) -> None:
        """Longer than a lease: it wakes up to find that its step is another's."""
        pids = self._children()
        if pids:
            self._freeze(self.random.choice(pids))
            self.done["child frozen"] += 1

    def freeze_main(self) -> None:
        self._freeze(self.cluster.processes[self.random.choice(WORKERS)].pid)
        self.done["main process frozen"] += 1

    def flush_broker(self) -> None:
        redis.Redis.from_url(self.cluster.valkey.url).flushall()
        self.done["broker wiped"] += 1

    def restart_broker(self) -> None:
        self.cluster.restart("valkey", signal.SIGKILL)
        self.done["broker killed"] += 1

    def restart_database(self) -> None:
        self.struck.update(self._children())
        self.cluster.restart("postgres", signal.SIGQUIT)
        self.done["database restarted"] += 1

    def start(self, name: str) -> None:
        queues = "system" if name == SYSTEM else "critical,default,bulk"
        self.cluster.start_worker(name, queues, 1 if name == SYSTEM else 2)

    def look(self) -> None:
        """Count what obeyed its order, start main processes that have died."""
        for taken in self.orders.iterdir():
            if taken.suffix != ".order":
                self._obeyed(taken)
        for name in (*WORKERS, SYSTEM):
            if self.cluster.processes[name].poll() is not None:
                self.done["main process restarted"] += 1
                self.start(name)
        self._measure()

    def relent(self) -> None:
        """Take back every order and wake everything."""
        for order in self.orders.glob("*.order"):
            order.unlink()
        for timer, pid in self._frozen:
            timer.cancel()
            self._signal(pid, signal.SIGCONT)
        self._frozen.clear()

    def _order(self, point: str, text: str) -> None:
        if not list(self.orders.glob("*.order")):
            self._number += 1
            draft = self.orders / f"{self._number}.draft"
            draft.write_text(text)
            draft.rename(self.orders / f"{point}-{self._number}.order")

    def _obeyed(self, taken: Path) -> None:
        pid, text, point = int(taken.suffix[1:]), taken.read_text(), taken.name.split("-")[0]
        self.struck.add(pid)
        if text == "kill":
            self.kills += 1
        else:
            self._wake_later(pid)
        self.done[f"{text} at {point}"] += 1
        taken.unlink()

    def _children(self) -> list[int]:
        return [child.pid for name in WORKERS for child in self.cluster.children(name)]

    def _held(self, pid: int) -> StepRun | None:
        return StepRun.objects.filter(state="running", worker__contains=f":{pid}/").first()

    def _note_death(self, step: StepRun | None) -> None:
        if step is not None:
            self.deaths.append(Death(step.pk, step.fence, time.monotonic()))

    def _measure(self) -> None:
        open_deaths = [each for each in self.deaths if each.seconds is None]
        for each in open_deaths:
            gone = Q(fence__gt=each.fence) | ~Q(state__in=["running", "ready"])
            if StepRun.objects.filter(gone, pk=each.step).exists():
                each.seconds = time.monotonic() - each.at

    def _freeze(self, pid: int) -> None:
        self._signal(pid, signal.SIGSTOP)
        self._wake_later(pid)

    def _wake_later(self, pid: int) -> None:
        """By a thread of its own: this one may be waiting for a row that the frozen process has locked."""
        timer = threading.Timer(1.5 * self.lease, self._signal, (pid, signal.SIGCONT))
        timer.daemon = True
        timer.start()
        self._frozen.append((timer, pid))

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """False for a process that has ended meanwhile: an order may have been quicker."""
        self.struck.add(pid)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True
