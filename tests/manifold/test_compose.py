"""docker-compose.yml: confined as it says, and each of its commands starts here; 503 while a service of it is down."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from manifold import environment
from manifold.client import Client
from manifold.supervisor import roles
from tests.cluster import ROOT
from tests.manifold.composed import COMPOSE, CONFINED, OURS, SERVICES, USER, Composed
from tests.services import open_folder

PROJECT = "/p/default/"
DOCUMENT = """\
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}}
  sums: {sql: {inputs: {o: orders}, query: "SELECT customer, sum(amount) AS total FROM o GROUP BY ALL"}}
  kept: {load: {input: sums, dataset: orders}}
"""


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("", "0", "root")
    for published in service.get("ports", []):
        assert published.startswith("127.0.0.1:"), "only loopback; a proxy with HTTPS goes before it"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"prepare", "beat"}))
def test_every_server_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert check["interval"]
    assert check["retries"]


def test_every_name_leads_somewhere() -> None:
    assert set(SERVICES) == {"postgres", "redis", *OURS}
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        assert {each.partition(":")[0] for each in service.get("volumes", [])} <= set(COMPOSE["volumes"])
        for config in service.get("configs", []):
            # A file is mounted. What is written down here would be copied, which a read-only container refuses.
            assert os.access(ROOT / COMPOSE["configs"][config["source"]]["file"], os.X_OK)
        for value in map(str, service["environment"].values()) if "environment" in service else []:
            for secret in re.findall(r"/run/secrets/(\w+)", value):
                assert secret in service["secrets"]


def test_every_variable_is_a_setting_and_no_secret_stands_in_it() -> None:
    known = {each.name: each for each in environment.SETTINGS}
    for name in OURS:
        for variable in SERVICES[name]["environment"]:
            setting = known[variable.removesuffix("_FILE")]
            assert setting.secret == variable.endswith("_FILE"), variable


def test_the_system_worker_has_as_many_slots_as_under_the_supervisor() -> None:
    command = SERVICES["system"]["command"]
    assert command[command.index("-Q") + 1] == ",".join(roles.SYSTEM_QUEUES)
    assert command[command.index("-c") + 1] == str(roles.SYSTEM_SLOTS)


def test_the_secrets_are_made_once_and_read_as_settings(tmp_path: Path) -> None:
    script = ["sh", str(ROOT / "docker" / "secrets.sh")]
    subprocess.run(script, cwd=tmp_path, check=True)
    folder = tmp_path / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.name for each in folder.iterdir()} == set(COMPOSE["secrets"])
    again = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    env = {"MANIFOLD_SECRET_KEY_FILE": str(folder / "secret_key"), "DATABASE_URL_FILE": str(folder / "database_url")}
    assert len(environment.SECRET_KEY.read(env)) == 64
    assert (folder / "database_password").read_text() in environment.DATABASE_URL.read(env)


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    with tempfile.TemporaryDirectory(prefix="manifold-composed-", dir=open_folder()) as folder:
        Path(folder).chmod(0o755)
        platform = Composed(Path(folder))
        try:
            platform.start()
            yield platform
        finally:
            platform.stop()


@pytest.fixture
def browser(composed: Composed) -> Iterator[httpx.Client]:
    """Signed in as the first administrator."""
    with httpx.Client(base_url=composed.url, trust_env=False, timeout=60) as client:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', client.get("/login/").text)
        assert token is not None
        form = {"username": "admin", "password": composed.password, "csrfmiddlewaretoken": token[1]}
        answer = client.post("/login/", data=form, headers={"Referer": f"{composed.url}/login/"})
        assert answer.status_code == 302
        yield client


@pytest.mark.all
@pytest.mark.parametrize("name", ["web", "worker", "system", "flower"])
def test_its_commands_start_and_its_health_checks_agree(composed: Composed, name: str) -> None:
    composed.until(lambda: composed.check(name).returncode == 0, f"the health check of {name}")


@pytest.mark.all
def test_preparing_again_changes_nothing(composed: Composed) -> None:
    again = composed.run("prepare")
    assert again.returncode == 0, again.stderr
    assert '"password": null' in again.stdout


@pytest.mark.all
def test_a_pipeline_runs_there_and_is_asked_and_backed_up(composed: Composed) -> None:
    (composed.data / "files" / "orders.csv").write_text("customer,amount\nann,12\nben,7\nann,3\n")
    client = Client(composed.url, composed.token)
    body = {"slug": "drop", "title": "Drop", "connector": "local_files", "params": {"path": composed.place("files")}}
    client.in_project("POST", "sources/", json=body)
    client.in_project("POST", "sources/drop/discover/")
    client.in_project("POST", "pipelines/apply/", json={"text": DOCUMENT, "publish": True})
    run = client.wait(client.in_project("POST", "pipelines/orders/runs/", json={})["id"], seconds=180)
    assert run["state"] == "succeeded", run["error"]
    answer = client.in_project("POST", "queries/", json={"sql": "SELECT * FROM orders ORDER BY customer"})
    assert [[str(each) for each in row] for row in answer["rows"]] == [["ann", "15"], ["ben", "7"]]
    words = ("python", "-m", "manifold", "backup", composed.place("backup.tar"))
    made = composed.execute("web", *words, MANIFOLD_BACKUP_PASSPHRASE="correct horse battery")
    assert made.returncode == 0, made.stderr
    assert (composed.data / "backup.tar").stat().st_mode & 0o077 == 0


@pytest.mark.all
@pytest.mark.skipif(not CONFINED, reason="only root may make a root of its own: run `make test-all` as root")
def test_nothing_else_can_be_written(composed: Composed) -> None:
    who = composed.execute("web", "python", "-c", "import os; print(os.getuid(), os.getgroups())")
    assert who.stdout == f"{USER} []\n", who.stderr
    for place in ("/usr/x", "/run/secrets/x", "/x", str(ROOT / "x")):
        refused = composed.execute("web", "touch", place)
        assert "Read-only file system" in refused.stderr, refused


@pytest.mark.all
def test_flower_is_reached_through_the_console(composed: Composed, browser: httpx.Client) -> None:
    composed.until(lambda: browser.get("/flower/workers?json=1").status_code == 200, "Flower")
    assert composed.get("/flower/").status_code == 302


@pytest.mark.all
def test_while_postgresql_is_down_everything_says_so_and_comes_back(composed: Composed, browser: httpx.Client) -> None:
    addresses = (PROJECT, f"{PROJECT}runs/", "/api/v1/me/", "/api/v1/projects/default/pipelines/", "/flower/")
    assert [browser.get(each).status_code for each in addresses[:4]] == [200] * 4
    composed.cluster.processes["postgres"].send_signal(signal.SIGINT)
    composed.cluster.processes["postgres"].wait(60)
    try:
        for address in addresses:
            answer = browser.get(address)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), address
            if address.startswith("/api/"):
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json()["detail"].startswith("The database does not answer")
            else:
                assert "The database does not answer" in answer.text
        token = browser.cookies["manifold_csrf"]
        form = {"username": "admin", "password": "x", "csrfmiddlewaretoken": token}
        refused = browser.post("/login/", data=form, headers={"Referer": f"{composed.url}/login/"})
        assert refused.status_code == 503
        assert "Nothing was changed" in refused.text
        assert composed.get("/healthz").status_code == 200
        assert composed.get("/readyz").status_code == 503
        assert composed.get("/metrics").status_code == 200
    finally:
        composed.cluster.start_postgres()
    composed.until(lambda: all(browser.get(each).status_code == 200 for each in addresses), "that it comes back")
    composed.until(lambda: composed.get("/startupz").status_code == 200, "that every dependency is back")


@pytest.mark.all
def test_while_redis_is_down_pages_are_served_and_it_comes_back(composed: Composed, browser: httpx.Client) -> None:
    composed.cluster.processes["valkey"].send_signal(signal.SIGTERM)
    composed.cluster.processes["valkey"].wait(60)
    try:
        for address in (PROJECT, f"{PROJECT}runs/", "/api/v1/projects/default/pipelines/"):
            assert browser.get(address).status_code == 200, address
        down = {each["name"] for each in composed.get("/startupz").json()["dependencies"] if not each["up"]}
        assert down == {"broker", "workers"}
    finally:
        composed.cluster.start_valkey()
    composed.until(lambda: composed.get("/startupz").status_code == 200, "that the workers are back")
