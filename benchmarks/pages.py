"""`make load`: how long pages and the API take with 100 pipelines, 10,000 runs, 100,000 steps and 100,000 events.

A platform of its own, as `manifold up` starts it, in a temporary folder; clients in this process, on loopback. It is
bounded in requests and in time. The results go to benchmarks/load.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import clicking, report
from benchmarks.clicking import Address, Taken
from benchmarks.installation import installation, open_folder
from manifold.client import platform_file
from tests.cluster import ROOT

AT_MOST_MS = 200
_FURNISH = "import django; django.setup(); from benchmarks import furnishing; furnishing.main()"

# By door: paths, as they stand behind the project's; what begins with / stands for itself.
PAGES = """
. pipelines/ pipelines/?health=failing pipelines/pipeline-010/ pipelines/pipeline-010/edit/
pipelines/pipeline-010/versions/1/ pipelines/pipeline-010/schedule/
runs/ runs/?state=failed&pipeline=pipeline-007 runs/{running}/ runs/{over}/ runs/{over}/log/
datasets/ datasets/orders-001/ sql/ sources/ sources/source-1/ search/?q=12 members/
audit/ audit/?verb=deleted audit/?actor=person-3 audit/?text=thing+77 audit/{event}/
/account/ /tokens/ /platform/audit/ /platform/people/ /platform/projects/
"""
PARTS = ". pipelines/ pipelines/pipeline-010/ runs/ runs/{running}/ runs/{running}/log/"
API = """
status/ pipelines/ pipelines/pipeline-010/ pipelines/pipeline-010/runs/ pipelines/pipeline-010/versions/ schedules/
runs/ runs/?state=failed runs/{over}/ runs/{over}/steps/ runs/{over}/logs/ datasets/ datasets/orders-001/
datasets/orders-001/snapshots/ sources/ sources/source-1/ credentials/ queries/ saved-queries/ checks/ members/
events/ events/?verb=deleted /me/ /projects/ /tokens/ /events/ /users/ /connectors/
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make load")
    parser.add_argument("--clients", type=int, default=4, help="people who click at the same time")
    parser.add_argument("--rounds", type=int, default=20, help="how often each address is visited by each client")
    parser.add_argument(
        "--seconds", type=int, default=180, help="each of the two parts ends after so long at the latest"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="manifold-load-", dir=open_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        environment = {**os.environ, "MANIFOLD_LOG_LEVEL": "warning"}
        with installation(folder / "home", environment) as platform:
            made = _furnished(folder / "home", environment)
            token = platform_file(folder / "home")["token"]
            site = clicking.sign_in(platform.url, token, made["username"], made["password"])
            addresses = _addresses(made)
            single = clicking.alone(site, addresses, asked.rounds, asked.seconds)
            several = clicking.together(site, addresses, asked.clients, asked.rounds, asked.seconds)
    rows = [_row(each, single, several) for each in addresses]
    print(_written(rows, asked.clients))


def _furnished(home: Path, environment: dict[str, str]) -> dict[str, str]:
    settings = {"MANIFOLD_HOME": str(home), "DJANGO_SETTINGS_MODULE": "manifold.settings"}
    done = subprocess.run(
        [sys.executable, "-c", _FURNISH],
        cwd=ROOT,
        env=environment | settings,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _addresses(made: dict[str, str]) -> list[Address]:
    found = []
    for door, paths, base in (
        ("page", PAGES, "p/large/"),
        ("part", PARTS, "p/large/"),
        ("api", API, "projects/large/"),
    ):
        for word in paths.split():
            path = word.format(**made)
            whole = path[1:] if path.startswith("/") else base + path.removeprefix(".")
            shown = word if word.startswith("/") or door == "api" else word.removeprefix(".") or "home"
            found.append(Address(door, whole, shown))  # type: ignore[arg-type]
    return found


def _row(address: Address, single: Taken, several: Taken) -> dict[str, Any]:
    """The figures of one address, in milliseconds. It is met when nineteen of twenty visits by one client were quick
    enough, and half of those with others."""
    figures = {"alone": _figures(single.seconds[address]), "together": _figures(several.seconds[address])}
    errors = Counter([*single.errors[address], *several.errors[address]])
    quick = figures["alone"]["p95"] <= AT_MOST_MS and figures["together"]["p50"] <= AT_MOST_MS
    return {
        "door": address.door,
        "address": address.name,
        **figures,
        "errors": dict(errors),
        "met": quick and not errors,
    }


def _figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"requests": len(ordered)} | {
        f"p{part}": round(ordered[min(len(ordered) - 1, len(ordered) * part // 100)] * 1000, 1) for part in (50, 95, 99)
    }


def _written(rows: list[dict[str, Any]], clients: int) -> str:
    about = report.machine()
    kept = {"machine": about, "clients": clients, "at_most_ms": AT_MOST_MS, "rows": rows}
    (report.FOLDER / "load.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    facts = ", ".join(f"{key} {value}" for key, value in about.items())
    met = sum(each["met"] for each in rows)
    text = (
        "# The console and the API under load\n\n"
        f"{facts}. 100 pipelines, 10,000 runs, 100,000 steps, 100,000 events. Milliseconds, as a client on the same "
        f"machine sees them: one client alone, then {clients} who click ten times as fast as people do while six tabs "
        f"poll. Parts are what open pages ask for every two seconds. Met: {AT_MOST_MS} ms at p95 alone and at p50 "
        f"together, without an error. {met} of {len(rows)} are.\n\n{_table(rows)}\n"
    )
    (report.FOLDER / "load.md").write_text(text, encoding="utf-8")
    return text


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| | address | alone p50 | p95 | p99 | together p50 | p95 | p99 | visits | errors | met |",
        "|---" * 11 + "|",
    ]
    for each in rows:
        one, many = each["alone"], each["together"]
        figures = " | ".join(f"{found[part]:.0f}" for found in (one, many) for part in ("p50", "p95", "p99"))
        errors = ", ".join(f"{count} × {what}" for what, count in each["errors"].items()) or "0"
        visits, met = one["requests"] + many["requests"], "yes" if each["met"] else "**no**"
        lines.append(f"| {each['door']} | `{each['address']}` | {figures} | {visits:.0f} | {errors} | {met} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
