"""`manifold up`, for real: it starts, survives, refuses and stops."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from manifold.supervisor import leftovers
from manifold.supervisor.home import Home
from manifold.supervisor.logfile import LogFile
from tests.homes import forget
from tests.ports import own_port

# One installation at a time: they share the machine with everybody else's tests.

NAMED = ("DATABASE_URL", "REDIS_URL", "MANIFOLD_SECRET_KEY", "MANIFOLD_MASTER_KEY", "MANIFOLD_HOME")


class Up:
    """`manifold up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.said = folder / "said"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **env: str) -> None:
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(self.command(*arguments), env=environment(**env), stdout=said, stderr=said)
        until(lambda: "is ready" in self.text() or self.ended, 300)
        assert not self.ended, self.text()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "manifold", "up", "--home", str(self.home), *arguments]

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def platform(self) -> dict[str, Any]:
        return Home(self.home).platform()

    def text(self) -> str:
        return self.said.read_text()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.platform['url']}{path}", timeout=60, trust_env=False)

    def answers(self, path: str = "/healthz") -> bool:
        try:
            return self.get(path).status_code == 200
        except httpx.HTTPError:
            return False

    def members(self) -> list[psutil.Process]:
        return [process for each in self.platform["processes"].values() for process in leftovers.members(each)]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process is None:
            return 0
        if not self.ended:
            self.process.send_signal(number)
        return self.process.wait(180)


def environment(**env: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in NAMED}, **env}


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not happen within {seconds} s")
        time.sleep(0.05)


def living(family: list[psutil.Process]) -> list[psutil.Process]:
    """One that ends between two questions about it has ended."""
    found = []
    for each in family:
        with suppress(psutil.NoSuchProcess):
            if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One installation for the module; each test finds it running and leaves it running."""
    platform = Up(tmp_path_factory.mktemp("up"))
    try:
        platform.start("--port", str(own_port()))
        yield platform
    finally:
        platform.stop()
        forget(platform.home)


def test_it_works(up: Up) -> None:
    assert re.search(r"Manifold is ready at http://127\.0\.0\.1:\d+ after \d+\.\d s\.", up.text())
    assert re.search(r"Sign in as admin with the password \S{12,}", up.text())
    answers: list[httpx.Response] = []

    def well() -> bool:
        answers.append(up.get("/startupz"))
        return answers[-1].status_code == 200

    until(well)
    found = {each["name"]: each["up"] for each in answers[-1].json()["dependencies"]}
    assert found == dict.fromkeys(found, True)
    assert {"database", "broker", "workers", "storage", "keys", "clock"} <= set(found)
    assert set(up.platform["processes"]) == {"postgres", "valkey", "web", "worker", "system", "beat", "flower"}


def test_flower_shows_the_workers_and_no_secret(up: Up) -> None:
    password = re.search(r"password (\S{12,})", up.text())
    assert password is not None
    secrets = [(up.home / "secrets" / name).read_text().strip() for name in ("valkey", "postgres_role", "secret_key")]
    worker = f"worker/worker@{socket.gethostname()}"
    with httpx.Client(base_url=up.platform["url"], trust_env=False, timeout=60) as browser:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', browser.get("/login/").text)
        assert token is not None
        form = {"username": "admin", "password": password[1], "csrfmiddlewaretoken": token[1]}
        assert browser.post("/login/", data=form, headers={"Referer": f"{browser.base_url}login/"}).status_code == 302
        until(lambda: browser.get("/flower/").status_code == 200)
        until(lambda: browser.get(f"/flower/{worker}").status_code == 200)
        for page in ("", "workers?json=1", worker, "tasks", "broker", "static/js/flower.js"):
            answer = browser.get(f"/flower/{page}")
            assert answer.status_code == 200, page
            assert not [each for each in secrets if each in answer.text], page
        assert "'unsafe-eval'" not in browser.get("/flower/").headers["Content-Security-Policy"]
    port = up.platform["ports"]["flower"]
    assert httpx.get(f"http://127.0.0.1:{port}/flower/workers", trust_env=False, timeout=60).status_code == 401


def test_it_is_small(up: Up) -> None:
    assert up.process is not None
    parent = psutil.Process(up.process.pid)
    held = sum(each.memory_full_info().pss for each in [parent, *parent.children(recursive=True)])
    assert held <= 600 * 2**20


def test_secrets_are_closed_to_others_and_in_no_log(up: Up) -> None:
    secrets = list((up.home / "secrets").iterdir())
    assert {"secret_key", "master_key", "database_url", "redis_url"} <= {file.name for file in secrets}
    for file in [*secrets, up.home / "platform.json"]:
        assert file.stat().st_mode & 0o077 == 0
    assert up.home.stat().st_mode & 0o077 == 0
    texts = [file.read_text().strip() for file in secrets if not file.name.endswith("_url")]
    password = re.search(r"with the password (\S+)", up.text())
    assert password is not None
    for log in (up.home / "logs").iterdir():
        assert not [text for text in [*texts, password[1]] if text in log.read_text()], log.name


def test_the_application_is_no_superuser(up: Up) -> None:
    with psycopg.connect((up.home / "secrets" / "database_url").read_text().strip()) as connection:
        assert connection.execute("SELECT current_setting('is_superuser')").fetchone() == ("off",)


def test_a_second_one_in_the_same_home_is_refused(up: Up) -> None:
    done = subprocess.run(up.command(), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"already running in {up.home} at {up.platform['url']}" in done.stderr
    assert "--home" in done.stderr
    assert up.answers()


def test_a_taken_port_is_named_with_its_remedy(up: Up, tmp_path: Path) -> None:
    port = up.platform["ports"]["web"]
    other = Up(tmp_path)
    done = subprocess.run(
        other.command("--port", str(port)), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken by" in done.stderr
    assert f"manifold up --port {port + 1}" in done.stderr


@pytest.mark.parametrize("name", ["web", "worker", "beat", "valkey", "postgres"])
def test_a_dead_child_is_started_again(up: Up, name: str) -> None:
    before = up.platform["processes"][name]["pid"]
    os.kill(before, signal.SIGKILL)
    until(lambda: up.platform["processes"].get(name, {}).get("pid", before) != before)
    until(lambda: up.answers("/startupz"))
    assert f"{name} was ended by SIGKILL; it is started again" in up.text()


def test_a_connection_behind_a_body_that_nobody_read_is_said_to_be_closed(up: Up) -> None:
    """The next request on a kept connection must not fail."""
    with httpx.Client(base_url=up.platform["url"], timeout=60, trust_env=False) as client:
        closes = {
            size: client.post("/api/v1/projects/", content=b"x" * size).headers["Connection"]
            for size in (1000, 60_000, 70_000, 300_000)
        }
        assert closes == {1000: "keep-alive", 60_000: "keep-alive", 70_000: "close", 300_000: "close"}
        assert client.get("/healthz").status_code == 200


def test_a_folder_that_takes_no_file_stops_nothing(up: Up) -> None:
    file = up.home / "platform.json"
    started = {name: each["pid"] for name, each in up.platform["processes"].items()}
    file.unlink()
    file.mkdir()  # As on a full disk, what is written cannot take its place.
    os.kill(started["beat"], signal.SIGKILL)
    until(lambda: f"{file} could not be written" in up.text() or up.ended)
    assert not up.ended, up.text()
    assert not list(up.home.glob(".platform.json-*"))
    file.rmdir()
    # Nothing else has to happen for it to be written again.
    until(lambda: up.platform.get("processes", {}).get("beat", {}).get("pid", started["beat"]) != started["beat"])
    assert set(up.platform["processes"]) == set(started)
    assert up.text().count("could not be written") == 1


def test_a_frozen_bystander_with_a_recorded_number_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        recorded = leftovers.record(bystander.pid) | {"started": time.time() - 3600}
        assert leftovers.stop([recorded], seconds=0.2) == 0
        assert bystander.poll() is None
        assert leftovers.stop([leftovers.record(bystander.pid)], seconds=60) == 1
        assert bystander.wait(60) == -signal.SIGTERM
    finally:
        bystander.kill()
        bystander.wait()


def test_it_starts_again_after_everything_was_killed(up: Up) -> None:
    assert up.process is not None
    family = up.members()
    up.process.kill()
    up.process.wait()
    up.start()
    assert up.answers("/readyz")
    assert "password" not in up.text()
    assert not living(family)


def test_nothing_outlives_a_killed_supervisor(up: Up) -> None:
    assert up.process is not None
    family = up.members()
    assert len(family) > 8
    up.process.kill()
    up.process.wait()
    until(lambda: not living(family))
    up.start()


def test_it_goes_on_and_stops_cleanly_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    quiet = Up(tmp_path)
    quiet.process = subprocess.Popen(
        quiet.command("--port", str(own_port())), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert quiet.process.stdout is not None
    quiet.process.stdout.close()
    try:
        until(lambda: quiet.platform.get("token", "") != "" and quiet.answers("/readyz"), 300)
        family = quiet.members()
        assert quiet.stop(signal.SIGTERM) == 0
        assert not living(family)
    finally:
        quiet.stop()
        forget(quiet.home)


def test_it_stops_a_postgresql_that_outlived_its_parent(up: Up) -> None:
    """As on systems where no child learns of its parent's death."""
    assert up.process is not None
    postgres = psutil.Process(up.platform["processes"]["postgres"]["pid"])
    others = [process for process in up.members() if process.pid != postgres.pid]
    postgres.suspend()
    up.process.kill()
    up.process.wait()
    for process in others:
        process.kill()
    up_again = subprocess.Popen(up.command(), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    postgres.resume()
    up.process = up_again
    until(lambda: up.platform.get("pid") == up_again.pid and up.answers("/readyz"), 300)
    assert not living([postgres])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_and_starts_where_it_was(up: Up, number: signal.Signals) -> None:
    ports, family = up.platform["ports"], up.members()
    assert up.stop(number) == 0
    assert not living(family)
    assert not (up.home / "platform.json").exists()
    assert "database system is shut down" in (up.home / "logs" / "postgres.log").read_text()
    up.start()
    assert up.platform["ports"] == ports


def test_a_port_taken_meanwhile_is_told(up: Up) -> None:
    port = up.platform["ports"]["valkey"]
    up.stop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        up.start()
    assert f"Port {port} of the embedded valkey is taken by" in up.text()
    assert up.platform["ports"]["valkey"] != port


def test_a_removed_home_starts_anew_and_loses_no_database(up: Up) -> None:
    up.stop()
    data = Home(up.home).postgres_data(as_root=os.geteuid() == 0)
    outside = up.home not in data.parents
    shutil.rmtree(up.home)
    up.start("--port", str(own_port()))
    assert "with the password" in up.text()
    assert ("moved to" in up.text()) == outside
    assert len(list(data.parent.glob("postgres.2*"))) == outside


def test_with_both_addresses_nothing_embedded_starts(up: Up, tmp_path: Path) -> None:
    """On the services of the other installation, which is what another machine would name."""
    secrets = up.home / "secrets"
    named = {
        "DATABASE_URL": (secrets / "database_url").read_text().strip(),
        "REDIS_URL": (secrets / "redis_url").read_text().strip(),
    }
    other = Up(tmp_path)
    try:
        other.start("--port", "0", **named)
        assert set(other.platform["processes"]) == {"web", "worker", "system", "beat", "flower"}
        assert not (other.home / "secrets" / "database_url").exists()
    finally:
        other.stop()


def test_an_address_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    dead = own_port()
    done = subprocess.run(
        Up(tmp_path).command("--port", "0"),
        env=environment(
            DATABASE_URL=f"postgresql://me:canary@127.0.0.1:{dead}/x", REDIS_URL=f"redis://127.0.0.1:{dead}/0"
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"DATABASE_URL: PostgreSQL at 127.0.0.1:{dead} cannot be used" in done.stderr
    assert "canary" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


HANGING = """
import sys, time
from pathlib import Path
from manifold.supervisor.watch import Watch
from manifold.supervisor.watchdog import Watchdog

def hang(tell):
    tell()
    time.sleep(600)
    return 0

watch = Watch(Path(sys.argv[1]), print, close_in_child=[], changed=lambda: print("changed"))
child = watch.add("worker", role=hang)
watch.until_ready(child, lambda: child.ready)
first = child.pid
broker = iter([False, True, True, True])
watchdog = Watchdog(watch, ("worker",), lambda: next(broker), patience=0.4)
end = time.monotonic() + 120
while child.pid == first and time.monotonic() < end:
    watchdog.look()
    watch.supervise()
print("asked", 4 - len(list(broker)))
watch.stop(["worker"])
"""


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    """Not while the broker is down: then its silence is no fault of its own."""
    done = subprocess.run([sys.executable, "-c", HANGING, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "worker has taken no message for 0 s and is replaced.",
        f"worker was ended by SIGKILL; it is started again. Log: {tmp_path / 'worker.log'}",
        "changed",
        "asked 2",
    ], done.stderr


def test_a_full_log_moves_aside(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "web.log", max_bytes=100, keep=2)
    for number in range(6):
        log.write(f"{number}".encode() * 60 + b"\n")
    log.close()
    assert {file.name: file.read_text()[0] for file in tmp_path.iterdir()} == {
        "web.log": "5",
        "web.log.1": "4",
        "web.log.2": "3",
    }


def test_a_log_that_could_not_be_opened_goes_on_when_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = LogFile(tmp_path / "logs" / "web.log", max_bytes=10)
    log.write(b"0123456789")
    (tmp_path / "logs").rename(tmp_path / "away")
    log.write(b"lost")
    (tmp_path / "away").rename(tmp_path / "logs")
    log.write(b"kept")
    log.close()
    assert (tmp_path / "logs" / "web.log").read_bytes().endswith(b"kept")


def test_platform_json_is_what_the_command_reads(up: Up) -> None:
    left = json.loads((up.home / "platform.json").read_text())
    assert left["url"].startswith("http://127.0.0.1:")
    assert left["token"]


@pytest.mark.parametrize("setting", ["MANIFOLD_FILE_ROOTS", "MANIFOLD_STORAGE_URL"])
def test_strict_start_up_stops_before_anything_runs(tmp_path: Path, setting: str) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "below"
    strict = Up(tmp_path)
    wrong = {setting: place.as_uri() if setting.endswith("URL") else str(place), "MANIFOLD_STRICT_STARTUP": "true"}
    done = subprocess.run(
        strict.command("--port", "0"), env=environment(**wrong), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "MANIFOLD_STRICT_STARTUP is set, and not all is well." in done.stderr
    assert str(place) in done.stderr
    assert strict.platform == {}
    forget(strict.home)


@pytest.mark.parametrize("setting", ["DATABASE_URL", "REDIS_URL"])
def test_without_a_service_that_was_named_it_never_starts(tmp_path: Path, setting: str) -> None:
    dead = f"127.0.0.1:{own_port()}"
    named = {"DATABASE_URL": os.environ["DATABASE_URL"], "REDIS_URL": os.environ["REDIS_URL"]}
    named[setting] = {"DATABASE_URL": f"postgresql://me@{dead}/x", "REDIS_URL": f"redis://{dead}/0"}[setting]
    other = Up(tmp_path)
    done = subprocess.run(
        other.command("--port", "0"), env=environment(**named), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"{setting}: " in done.stderr
    assert dead in done.stderr
    assert f"correct {setting}, or unset it" in done.stderr
    assert "Stop" not in done.stdout
