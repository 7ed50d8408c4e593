"""`make faults N=10000`: campaigns of a hundred kills until there were so many; goes on where it was interrupted.

`python -m tests.faults --one KILLS --seed S` is a single campaign in its own process; it prints its report as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks import report as bench
from tests.cluster import ROOT
from tests.faults.campaign import AGAIN_AT_MOST, LEASE, Report, campaign

AT_A_TIME = 100
RESULT = bench.FOLDER / "faults.json"
UNFINISHED = ROOT / ".manifold-faults.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--one", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(asdict(one(asked.one, asked.seed))))
        return
    total = many(asked.kills)
    print(RESULT.with_suffix(".md").read_text(encoding="utf-8"))
    sys.exit(1 if total.problems else 0)


def one(kills: int, seed: int) -> Report:
    """In a folder that stays when there were problems, for the logs in it."""
    folder = Path(tempfile.mkdtemp(prefix="manifold-faults-"))
    folder.chmod(0o755)
    report = campaign(folder / "campaign", kills, seed)
    if report.problems:
        report.problems.append(f"logs: {folder}")
    else:
        shutil.rmtree(folder)
    return report


def many(kills: int) -> Report:
    """Campaigns in processes of their own; what is done is kept in a file until all are, and is the result so far."""
    total = Report(**json.loads(UNFINISHED.read_text())) if UNFINISHED.exists() else Report()
    while total.kills < kills and not total.problems:
        total.add(in_process(min(AT_A_TIME, kills - total.kills), random.randrange(2**31)))
        UNFINISHED.write_text(json.dumps(asdict(total)))
        write(total, kills)
        print(f"{total.kills} of {kills} kills, {len(total.problems)} problems", flush=True)
    UNFINISHED.unlink(missing_ok=True)
    return total


def in_process(kills: int, seed: int) -> Report:
    command = [sys.executable, "-m", "tests.faults", "--one", str(kills), "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return Report(**json.loads(done.stdout.splitlines()[-1]))


def write(total: Report, asked: int) -> None:
    """benchmarks/faults.json and faults.md, as far as it got."""
    again = {f"p{int(share * 100)}": total.percentile(share) for share in (0.5, 0.99)}
    kept = {**asdict(total), "again_after": {"count": len(total.again_after), **again}}
    RESULT.write_text(json.dumps({"machine": bench.machine(), **kept}, indent=2) + "\n", encoding="utf-8")
    lines = [
        "# Faults",
        "",
        ", ".join(f"{key} {value}" for key, value in bench.machine().items()) + ".",
        "",
        f"{total.kills} of {asked} kills; {sum(total.runs.values())} runs with {total.steps} steps; "
        f"{total.lost} times a step was taken from a dead or frozen worker, {total.unstruck} of them without a strike; "
        f"{len(total.problems)} problems.",
        "",
        "| strike | times |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(total.strikes.items())),
        "",
        "| runs ended as | times |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(total.runs.items())),
    ]
    if again["p99"] is not None:
        p50, p99 = again["p50"], again["p99"]
        lines += ["", f"The step of a killed process was in other hands after {p50:.1f} s (p50) and {p99:.1f} s (p99)."]
        lines += [f"At most {AGAIN_AT_MOST} s with a lease of {LEASE} s; that is 75 s with the default lease of 60 s."]
    lines += ["", *(f"- {each}" for each in total.problems)]
    text = "\n".join(lines).rstrip() + "\n"
    RESULT.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
