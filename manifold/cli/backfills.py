"""`manifold backfill` reads a range of time in slices; `manifold backfills` is the rest of a backfill's life."""

from __future__ import annotations

from typing import Any

import click

from manifold.cli import output
from manifold.cli.runs import reason
from manifold.client import Client, at

EVERY = ["hour", "day", "week", "month", "schedule", "range"]


@click.command()
@click.argument("pipeline")
@click.option("--from", "lower", required=True, metavar="DAY", help="Such as 2026-01-31 or 2026-01-31T06:00.")
@click.option("--to", "upper", required=True, metavar="DAY", help="The first that does not belong to it.")
@click.option("--every", type=click.Choice(EVERY), help="How long a slice is; the schedule's moments, else a day.")
@click.option("--timezone", help="Whose clocks count; the schedule's, else UTC.")
@click.option("--again", is_flag=True, help="Read once more what was read before; needs loads that merge.")
@click.option("--pass-over", is_flag=True, help="Go on after a slice that fails; else it waits to be resumed.")
@click.option("--dry-run", is_flag=True, help="Print what each slice would read; start nothing.")
@output.command
def backfill(
    client: Client, *, pipeline: str, lower: str, upper: str, pass_over: bool, dry_run: bool, as_json: bool, **more: Any
) -> None:
    """Read a range of PIPELINE in slices, the oldest first, behind its live runs."""
    body = {"from": lower, "to": upper, **more}
    if dry_run:
        found = client.in_project("POST", at("pipelines", pipeline, "backfills", "preview"), json=body)
        output.print_json(found) if as_json else _show_preview(found)
        return
    body["on_failure"] = "pass_over" if pass_over else "stop"
    started = client.in_project("POST", at("pipelines", pipeline, "backfills"), json=body)
    output.print_json(started) if as_json else _show(started)


@click.group()
def backfills() -> None:
    """List the backfills of a pipeline, look at one, pause, resume or cancel it."""


@backfills.command("list")
@click.argument("pipeline")
@output.limit(default=20)
@output.command
def list_backfills(client: Client, *, pipeline: str, limit: int, as_json: bool) -> None:
    """The newest first."""
    answer = client.page(at("pipelines", pipeline, "backfills"), limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["id"],
                each["state"],
                output.when(each["from"]),
                output.when(each["to"]),
                each["done"],
                each["failed"],
                each["cancelled"],
                each["left"],
            )
            for each in answer["results"]
        ),
        ["backfill", "state", "from", "to", "done", "failed", "cancelled", "left"],
        "No backfills yet. Start one with `manifold backfill PIPELINE --from DAY --to DAY`.",
    )


@backfills.command()
@click.argument("pipeline")
@click.argument("backfill_id", metavar="BACKFILL")
@output.command
def show(client: Client, *, pipeline: str, backfill_id: str, as_json: bool) -> None:
    """How far it has come, and what became of each slice."""
    found = client.in_project("GET", at("pipelines", pipeline, "backfills", backfill_id))
    output.print_json(found) if as_json else _show(found)


@backfills.command()
@click.argument("pipeline")
@click.argument("backfill_id", metavar="BACKFILL")
@reason
@output.command
def pause(client: Client, *, pipeline: str, backfill_id: str, reason: str, as_json: bool) -> None:
    """Let no further slice begin; the one that is read now ends."""
    _act(client, pipeline, backfill_id, "pause", as_json=as_json, body={"reason": reason})


@backfills.command()
@click.argument("pipeline")
@click.argument("backfill_id", metavar="BACKFILL")
@output.command
def resume(client: Client, *, pipeline: str, backfill_id: str, as_json: bool) -> None:
    """Let it go on; where a failed slice had stopped it, with that slice."""
    _act(client, pipeline, backfill_id, "resume", as_json=as_json)


@backfills.command()
@click.argument("pipeline")
@click.argument("backfill_id", metavar="BACKFILL")
@output.command
def cancel(client: Client, *, pipeline: str, backfill_id: str, as_json: bool) -> None:
    """End it, with the run that reads a slice now; what was loaded stays."""
    _act(client, pipeline, backfill_id, "cancel", as_json=as_json)


def _act(
    client: Client, pipeline: str, backfill_id: str, does: str, *, as_json: bool, body: dict[str, Any] | None = None
) -> None:
    found = client.in_project("POST", at("pipelines", pipeline, "backfills", backfill_id, does), json=body or {})
    output.print_json(found) if as_json else _show(found)


def _show(found: dict[str, Any]) -> None:
    output.pairs(
        [
            ("backfill", found["id"]),
            ("state", found["state"]),
            ("why", found["reason"]),
            (
                "range",
                f"{output.when(found['from'])} to {output.when(found['to'])}, {found['every']}, {found['timezone']}",
            ),
            ("slices", ", ".join(f"{found[state]} {state}" for state in ("done", "failed", "cancelled", "left"))),
            ("about left", None if found["eta_s"] is None else output.ago(found["eta_s"])),
        ]
    )
    output.table(
        (
            (
                each["number"],
                output.when(each["from"]),
                output.when(each["to"]),
                each["state"],
                each["run"],
                each["said"],
            )
            for each in found["slices"]
        ),
        ["slice", "from", "to", "state", "run", ""],
        "No slices.",
    )


def _show_preview(found: dict[str, Any]) -> None:
    output.table(
        (
            (
                output.when(each["from"]),
                output.when(each["to"]),
                output.amount(each["rows"]),
                output.size(each["bytes"]),
                _reads(each),
            )
            for each in found["slices"]
        ),
        ["from", "to", "rows", "size", "reads"],
        "No slices.",
    )
    total = "" if found["rows"] is None else f", {output.amount(found['rows'])} rows"
    click.echo(f"{found['runs']} of {len(found['slices'])} slices have something to read{total}.")
    for each in found["warnings"]:
        click.secho(each, fg="yellow")


def _reads(part: dict[str, Any]) -> str:
    return part["skip_reason"] or " ".join(f"{each['step']}: {each['said']}" for each in part["reads"])
