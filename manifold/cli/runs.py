"""`manifold run` starts a run; `manifold runs` is the rest of its life."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from manifold.cli import output
from manifold.cli.drift import pairs, renames
from manifold.client import RUN_OVER, Client, at

SHOWN_READS = 5
FOLLOW_SECONDS = 1.0
GOOD_ENDS = frozenset({"succeeded", "skipped"})

reason = click.option("--reason", default="", help="Why; it is shown with the run and kept in the audit log.")


@click.command()
@click.argument("pipeline")
@click.option("--mode", type=click.Choice(["auto", "seed", "incremental", "repair"]), default="auto", show_default=True)
@click.option("--dry-run", is_flag=True, help="Print what would be read and why; start nothing.")
@click.option("--wait", is_flag=True, help="Wait for the end and leave with status 1 if it failed.")
@click.option("--step", "steps", multiple=True, help="Only this step, with everything that it needs; may be repeated.")
@click.option("--files", multiple=True, metavar="PATH", help="Of new files only these; `*` and `?`; may be repeated.")
@click.option("--again", is_flag=True, help="With --files: also such as were read before.")
@output.command
def run(
    client: Client,
    *,
    pipeline: str,
    mode: str,
    dry_run: bool,
    wait: bool,
    steps: tuple[str, ...],
    files: tuple[str, ...],
    again: bool,
    as_json: bool,
) -> None:
    """Start a run of PIPELINE."""
    body = {"mode": mode, "steps": list(steps), "files": list(files), "again": again}
    if dry_run:
        plan = client.in_project("POST", at("pipelines", pipeline, "plan"), json=body)
        output.print_json(plan) if as_json else show_plan(plan)
        return
    started = client.in_project("POST", at("pipelines", pipeline, "runs"), json=body)
    finished = client.wait(started["id"], halted=_tell) if wait else started
    output.print_json(finished) if as_json else show_run(finished)
    leave(finished)


@click.group()
def runs() -> None:
    """List runs, look at one, and control it."""


@runs.command("list")
@click.option("--pipeline", help="Only runs of this pipeline.")
@click.option("--state", help="Only runs in this state.")
@output.limit(default=20)
@output.command
def list_runs(client: Client, *, pipeline: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """The newest runs first."""
    answer = client.page("runs/", limit, pipeline=pipeline, state=state)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["id"],
                each["pipeline"],
                each["state"],
                each["mode"] or "–",
                output.amount(each["rows_written"]),
                output.seconds(each["duration_s"]),
                output.when(each["created_at"]),
            )
            for each in answer["results"]
        ),
        ["run", "pipeline", "state", "mode", "rows written", "took", "created"],
        "No runs yet. Start one with `manifold run PIPELINE`.",
    )


@runs.command()
@click.argument("run_id", metavar="RUN")
@output.command
def show(client: Client, *, run_id: str, as_json: bool) -> None:
    """One run with its steps, checks and error."""
    found = client.in_project("GET", at("runs", run_id))
    output.print_json(found) if as_json else show_run(found)


@runs.command()
@click.argument("run_id", metavar="RUN")
@output.command
def cancel(client: Client, *, run_id: str, as_json: bool) -> None:
    """Stop a run; its running steps end within seconds."""
    _act(client, run_id, "cancel", as_json)


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.option("--wait", is_flag=True, help="Wait for the end and leave with status 1 if it failed.")
@output.command
def retry(client: Client, *, run_id: str, wait: bool, as_json: bool) -> None:
    """Start a new run that reuses what still stands of an ended one."""
    started = client.in_project("POST", at("runs", run_id, "retry"))
    finished = client.wait(started["id"], halted=_tell) if wait else started
    output.print_json(finished) if as_json else show_run(finished)
    leave(finished)


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.argument("suggestion")
@click.option("--wait", is_flag=True, help="Wait for the end and leave with status 1 if it failed.")
@output.command
def fix(client: Client, *, run_id: str, suggestion: str, wait: bool, as_json: bool) -> None:
    """Do what the error of a failed run suggests, by the name in brackets; a run follows it."""
    started = client.in_project("POST", at("runs", run_id, "suggestions", suggestion, "apply"))
    finished = client.wait(started["id"], halted=_tell) if wait else started
    output.print_json(finished) if as_json else show_run(finished)
    leave(finished)


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.option("--step", help="Only what this step said.")
@click.option("--level", type=click.Choice(["info", "warning", "error"]), default="info", help="At least so grave.")
@click.option("--follow", is_flag=True, help="Go on until the run is over.")
@output.command
def logs(client: Client, *, run_id: str, step: str | None, level: str, follow: bool, as_json: bool) -> None:
    """What a run and its steps have said of themselves; with `--json` one object a line."""
    after = 0
    while True:
        over = not follow or client.in_project("GET", at("runs", run_id))["state"] in RUN_OVER
        for line in client.each(at("runs", run_id, "logs"), step=step, level=level, after=after):
            after = line["id"]
            _show_line(line, as_json)
        if over:
            return
        time.sleep(FOLLOW_SECONDS)


def _show_line(line: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(line, ensure_ascii=False))
        return
    said = f"{output.when(line['at'])}  {line['step'] or '-':<12}  {line['text']}"
    click.secho(output.plain(said, keep=""), fg={"warning": "yellow", "error": "red"}.get(line["level"]))


@runs.command()
@click.argument("run_id", metavar="RUN")
@reason
@output.command
def pause(client: Client, *, run_id: str, reason: str, as_json: bool) -> None:
    """Let no further step of a running run start; those that run finish."""
    _act(client, run_id, "pause", as_json, {"reason": reason})


@runs.command()
@click.argument("run_id", metavar="RUN")
@output.command
def resume(client: Client, *, run_id: str, as_json: bool) -> None:
    """Let a paused run go on where it was."""
    _act(client, run_id, "resume", as_json)


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.argument("answer", type=click.Choice(["continue", "stop"]))
@reason
@renames
@click.option("--remember", is_flag=True, help="Follow such changes of columns from now on (role Admin).")
@output.command
def decide(
    client: Client, *, run_id: str, answer: str, reason: str, renames: tuple[str, ...], remember: bool, as_json: bool
) -> None:
    """Answer what a waiting run asks; `stop` fails it."""
    body = {"answer": answer, "reason": reason, "renames": pairs(renames), "remember": remember}
    _act(client, run_id, "decide", as_json, body)


@runs.command()
@click.argument("run_id", metavar="RUN")
@reason
@output.command
def skip(client: Client, *, run_id: str, reason: str, as_json: bool) -> None:
    """End a run that has not begun, without running it."""
    _act(client, run_id, "skip", as_json, {"reason": reason})


def _tell(run: dict[str, Any]) -> None:
    """Whoever waits for a run has to know what that waits for: it may be them."""
    said = f"manifold: {run['id']} waits. {run['waits_for']}"
    if run["state"] == "waiting":
        said += f" Answer with `manifold runs decide {run['id']} continue`, or `stop`."
    click.echo(output.plain(said), err=True)


def _act(client: Client, run_id: str, action: str, as_json: bool, body: dict[str, Any] | None = None) -> None:
    found = client.in_project("POST", at("runs", run_id, action), json=body or {})
    output.print_json(found) if as_json else show_run(found)


def leave(run: dict[str, Any]) -> None:
    """Status 1 for a run that is over and not good."""
    if run["state"] in RUN_OVER - GOOD_ENDS:
        sys.exit(output.FAILED)


def show_plan(plan: dict[str, Any]) -> None:
    output.pairs([("mode", plan["mode"]), ("because", plan["mode_reason"])])
    click.echo()
    output.table(
        (
            (
                step["key"],
                step["kind"],
                _reads(step, plan["mode_reason"]),
                output.amount((step["estimate"] or {}).get("rows")),
                output.size((step["estimate"] or {}).get("bytes")),
            )
            for step in plan["steps"]
        ),
        ["step", "kind", "reads", "rows", "size"],
        "The pipeline has no steps.",
    )
    for step in plan["steps"]:
        for warning in step["warnings"]:
            click.echo(output.plain(f"{step['key']}: {warning}"), err=True)


def _reads(step: dict[str, Any], said: str) -> str:
    """What a step reads, or why it does not, unless that was `said` above."""
    if step["skip_reason"]:
        return "nothing" if step["skip_reason"] in said else step["skip_reason"]
    reads = [each if isinstance(each, str) else _read(each) for each in step["reads"]]
    more = f" and {len(reads) - SHOWN_READS} more" if len(reads) > SHOWN_READS else ""
    return "; ".join(reads[:SHOWN_READS]) + more or "–"


def _read(part: dict[str, Any]) -> str:
    """A file, or the part of a stream that lies between two bounds."""
    if "path" in part:
        return str(part["path"])
    if "upper" not in part:
        return str(part["stream"])
    place = f", partition {part['partition']}" if part.get("partition") else ""
    column = f"{part['column']} " if part.get("column") else ""
    return f"{part['stream']}{place}: {column}from {part.get('lower') or 'the beginning'} to {part['upper']}"


def show_run(run: dict[str, Any]) -> None:
    """A run on one screen."""
    output.pairs(
        [
            ("run", run["id"]),
            ("pipeline", f"{run['pipeline']} v{run['version']}"),
            ("state", run["state"]),
            ("outcome", run["outcome"] if run["outcome"] != "clean" else None),
            ("mode", run["mode"]),
            ("because", run["mode_reason"]),
            ("only", ", ".join(run["only"])),
            ("files", ", ".join(run["files"][:SHOWN_READS])),
            ("waits for", run["waits_for"]),
            ("started", output.when(run["started_at"])),
            ("took", output.seconds(run["duration_s"])),
            ("rows read", output.amount(run["rows_read"])),
            ("rows written", output.amount(run["rows_written"])),
            ("rows rejected", output.amount(run["rows_rejected"])),
        ]
    )
    steps = run.get("steps") or []
    if steps:
        _show_steps(steps)
    _show_waits(steps)
    _show_counts(steps)
    _show_checks(steps)
    if run["error"]:
        click.echo()
        output.show_error(run["error"])


def _show_steps(steps: list[dict[str, Any]]) -> None:
    click.echo()
    output.table(
        (
            (
                step["key"],
                step["kind"],
                step["state"],
                output.amount(step["rows_in"]),
                output.amount(step["rows_out"]),
                output.seconds(step["duration_s"]),
                output.size(step["peak_memory"]),
            )
            for step in steps
        ),
        ["step", "kind", "state", "rows in", "rows out", "took", "memory"],
        "",
    )


def _show_waits(steps: list[dict[str, Any]]) -> None:
    """What failed and is tried again."""
    for step in steps:
        if step["state"] == "retry_wait":
            click.echo(output.plain(f"\n{step['key']}: {step['error']['message']}"))
            click.echo(f"It is tried again at {output.when(step['due_at'])}.")


def _show_counts(steps: list[dict[str, Any]]) -> None:
    """What became of the rows of loads that tell it."""
    names = ["inserted", "updated", "deleted", "skipped"]
    counted = [(step["key"], step["output"]) for step in steps if "inserted" in (step["output"] or {})]
    if counted:
        click.echo()
        output.table(
            ((key, *(output.amount(found[name]) for name in names)) for key, found in counted), ["load", *names], ""
        )


def _show_checks(steps: list[dict[str, Any]]) -> None:
    failed = [(step["key"], each) for step in steps for each in step.get("checks") or [] if not each["passed"]]
    if failed:
        click.echo()
        output.table(
            (
                (
                    key,
                    each["rule"],
                    ", ".join(each["columns"]),
                    each["action"],
                    output.amount(each["failed_rows"]),
                    f"{each['fraction']:.2%}",
                )
                for key, each in failed
            ),
            ["check", "rule", "columns", "action", "rows", "share"],
            "",
        )
