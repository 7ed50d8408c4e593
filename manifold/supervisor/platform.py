"""The order in which the platform starts and stops."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from manifold import environment, probes
from manifold.embedded import ports
from manifold.embedded.errors import EmbeddedError
from manifold.supervisor import leftovers
from manifold.supervisor.children import Role
from manifold.supervisor.home import Home, StartError
from manifold.supervisor.services import Services
from manifold.supervisor.watch import Say, Stopped, Watch
from manifold.supervisor.watchdog import Watchdog

# Celery's cold shutdown with its soft time-out before: a step may finish or give its lease back.
WORKER_STOP = signal.SIGQUIT

# Seconds until what a full disk has not taken is written again.
_WRITE_AGAIN_AFTER = 5.0

# NumPy's and Arrow's libraries start threads when they are imported; we fork after that, and need none of them.
_FEW_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


@dataclass
class Options:
    """How to start. `companion` is run beside the ready platform, in a child with Django loaded and the terminal."""

    home: Path
    port: int | None = None
    workers: int | None = None
    companion: Callable[[Platform], int] | None = None
    exit_with_companion: bool = False


class Platform:
    """One running installation. `run` returns the exit status when it has stopped."""

    def __init__(self, options: Options, say: Say) -> None:
        self.options = options
        self.say = say
        self.home = Home(options.home)
        self.host = environment.BIND.read()
        self.port = 0
        self.flower_port = 0
        self.began = time.monotonic()
        self.ready = False
        self.write_again_at = 0.0
        self.admin: dict[str, Any] = {}
        self.services: Services
        self.watch: Watch
        self.watchdog: Watchdog
        self.roles: Any = None

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def run(self) -> int:
        """Start everything, supervise it, stop it. Raises StartError when it cannot start."""
        self.home.hold()
        status = 0
        try:
            self._clear_leftovers()
            self._prepare()
            try:
                self._start()
                status = self._supervise()
            except Stopped:
                pass
            finally:
                self._stop()
        except EmbeddedError as error:
            raise StartError(str(error)) from error
        finally:
            self.home.remove_platform()
        return status

    def _clear_leftovers(self) -> None:
        """An `up` that was killed left its notes behind, and where the kernel does not help, its children."""
        recorded = self.home.platform().get("processes", {})
        ended = leftovers.stop([each for name, each in recorded.items() if name != "postgres"])
        if ended:
            self.say(f"Stopped {ended} processes that an earlier start had left running.")

    def _prepare(self) -> None:
        os.environ["MANIFOLD_HOME"] = str(self.home.path)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")
        for name, value in _FEW_THREADS.items():
            os.environ.setdefault(name, value)
        if self.options.workers:
            os.environ[environment.WORKERS.name] = str(self.options.workers)
        for name in ("secret_key", "master_key"):
            self.home.secret(name)
        for name in ("storage", "files", "logs"):
            self.home.folder(name)
        self.port = self._web_port()
        self.services = Services(self.home, self.say)
        self.services.export()
        self._place_flower()
        self.home.remember_ports(self._ports)

    def _web_port(self) -> int:
        asked = self.options.port if self.options.port is not None else None
        if asked == 0:
            return ports.free_port()
        named = environment.PORT.read() if os.environ.get(environment.PORT.name) else None
        port = asked or named or self.home.ports().get("web") or environment.PORT.default
        if not ports.is_free(port, self.host):
            who = ports.holder(port) or "another program"
            raise StartError(
                f"Port {port} of {self.host} is taken by {who}. "
                f"Stop that, or choose another port: manifold up --port {port + 1}"
            )
        return port

    def _place_flower(self) -> None:
        """Tell the console where Flower will listen, unless the environment names one that runs elsewhere."""
        if environment.FLOWER_URL.is_named():
            return
        remembered = self.home.ports().get("flower")
        if remembered and remembered != self.port and ports.is_free(remembered):
            self.flower_port = remembered
        else:
            self.flower_port = ports.free_port(avoid=(self.port, *self.services.ports.values()))
        os.environ[environment.FLOWER_URL.name] = f"http://127.0.0.1:{self.flower_port}"

    @property
    def _ports(self) -> dict[str, int]:
        named = {"web": self.port, "flower": self.flower_port}
        return {**self.services.ports, **{name: port for name, port in named.items() if port}}

    def _start(self) -> None:
        assert self.home.lock is not None
        self.watch = Watch(
            self.home.folder("logs"), self.say, close_in_child=[self.home.lock], changed=self._record_child
        )
        self.services.start_making()
        self.services.start_valkey(self.watch)
        # Django is imported here, once, while initdb works; every child inherits it.
        self.roles = import_module("manifold.supervisor.roles")
        self.roles.setup()
        self.services.start_postgres(self.watch)
        self.services.check_named()
        self._examine()
        self._write_platform()
        migrating = self.watch.add("migrate", role=self.roles.migrate, once=True)
        self.roles.preload()
        if self.watch.until_done(migrating) != 0:
            raise StartError(
                "The database could not be brought up to date. The last lines of "
                f"{migrating.log.path}:\n{migrating.log.tail(8)}"
            )
        self._start_children()
        self._first_admin()
        self._write_platform()
        self._announce()

    def _examine(self) -> None:
        """What may go wrong later is said now; with MANIFOLD_STRICT_STARTUP it keeps the platform from starting."""
        asked = [("disk", probes.disk), ("memory", probes.memory), ("storage", probes.storage), ("keys", probes.keys)]
        asked += [("clock", probes.clock), ("files", probes.file_roots)]
        asked += [("issuer", probes.issuer)] if environment.OIDC_ISSUER.read() else []
        wrong = [each for each in probes.ask_all(asked) if not each.up]
        told = "\n".join(f"{each.name}: {each.detail} {each.remedy}" for each in wrong)
        if wrong and environment.STRICT_STARTUP.read():
            raise StartError(f"MANIFOLD_STRICT_STARTUP is set, and not all is well.\n{told}")
        if wrong:
            self.say(f"Not all is well:\n{told}")

    def _start_children(self) -> None:
        """Web first: it is what a person waits for. Then the workers, then the ticks."""
        roles, workers = self.roles, environment.WORKERS.read()
        web = roles.web(self.host, self.port, environment.WEB_WORKERS.read(), environment.WEB_THREADS.read())
        self._add("web", web, signal.SIGTERM, 15)
        self._add("worker", roles.worker("worker", roles.WORK_QUEUES, workers), WORKER_STOP, 30)
        self._add("system", roles.worker("system", roles.SYSTEM_QUEUES, roles.SYSTEM_SLOTS), WORKER_STOP, 30)
        self._add("beat", roles.beat, signal.SIGTERM, 10)
        for name in ("web", "worker", "system", "beat"):
            child = self.watch.children[name]
            self.watch.until_ready(child, lambda child=child: child.ready)  # type: ignore[misc]
        if self.flower_port:
            # Nobody waits for it: it may come up while the first page is read.
            self._add("flower", roles.flower(self.flower_port), signal.SIGTERM, 5)

    def _add(self, name: str, role: Role, number: signal.Signals, patience: float) -> None:
        self.watch.add(name, role=role, stop_signal=number, patience=patience)

    def _first_admin(self) -> None:
        """Make the first administrator and the command's token. The answer comes through a pipe, past every log."""
        reading, writing = os.pipe()
        child = self.watch.add("bootstrap", role=self.roles.first_admin(writing), once=True)
        os.close(writing)
        failed = self.watch.until_done(child, 60) != 0
        with open(reading, "rb") as answer:
            text = answer.read()
        if failed:
            raise StartError(f"The first administrator could not be made: {child.log.tail(8)}")
        self.admin = json.loads(text)
        if self.admin.get("token"):
            self.home.keep_secret("token", self.admin["token"])

    def _announce(self) -> None:
        self.ready = True
        self.say(f"Manifold is ready at {self.url} after {time.monotonic() - self.began:.1f} s.")
        if self.admin.get("password"):
            self.say(f"Sign in as {self.admin['username']} with the password {self.admin['password']}")
            self.say("The password is shown only this once.")
        self.say(f"Data and logs: {self.home.path}. Ctrl-C stops everything.")

    def _write_platform(self) -> None:
        self.home.write_platform(
            {
                "url": self.url,
                "token": self.home.secret("token", make=False),
                "pid": os.getpid(),
                "ports": self._ports,
                "processes": {name: child.identity for name, child in self.watch.children.items() if child.running},
            }
        )

    def _record_child(self) -> None:
        """A full disk must not stop the platform: until there is room, the file tells of processes that have ended."""
        try:
            self._write_platform()
        except OSError as error:
            if not self.write_again_at:
                self.say(f"{self.home.path}/platform.json could not be written: {error.strerror}. Make room there.")
            self.write_again_at = time.monotonic() + _WRITE_AGAIN_AFTER
        else:
            self.write_again_at = 0.0

    def _supervise(self) -> int:
        self.watchdog = Watchdog(self.watch, ("worker", "system"), lambda: probes.ask("broker", probes.broker).up)
        if self.options.companion is not None:
            status = self._run_companion(self.options.companion)
            if self.options.exit_with_companion:
                return status
        while not self.watch.stop_requests:
            self._turn()
        return 0

    def _turn(self) -> None:
        self.watch.supervise()
        self.watchdog.look()
        if self.write_again_at and self.write_again_at <= time.monotonic():
            self._record_child()

    def _run_companion(self, companion: Callable[[Platform], int]) -> int:
        """Its output goes to the terminal, not to a log."""
        terminal = os.dup(1)

        def role(_ready: Callable[[], None]) -> int:
            os.dup2(terminal, 1)
            os.dup2(terminal, 2)
            return companion(self)

        child = self.watch.add("companion", role=role, once=True, patience=20)
        os.close(terminal)
        while child.status is None:
            if self.watch.stop_requests:
                raise Stopped
            self._turn()
        return child.status

    def _stop(self) -> None:
        """First what makes new work, then what does it, PostgreSQL last."""
        if not hasattr(self, "watch"):
            return
        # What could not start is not said to stop: its caller tells why.
        told = self.ready or self.watch.stop_requests
        self.watch.stop_requests = max(1, self.watch.stop_requests)
        if told:
            self.say("Stopping …")
        self.watch.stop(["companion", "migrate", "bootstrap", "flower", "beat", "web", "worker", "system"])
        self.watch.stop(["valkey"])
        self.watch.stop(["postgres"])
        if told:
            self.say("Stopped.")
