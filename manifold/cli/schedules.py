"""`manifold schedules`: when pipelines start by themselves."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from apps.pipelines import text as texts
from manifold.cli import output
from manifold.client import Client, at


@click.group()
def schedules() -> None:
    """List schedules, see when one fires next, switch it on or off."""


@schedules.command("list")
@output.limit(default=200)
@output.command
def list_schedules(client: Client, *, limit: int, as_json: bool) -> None:
    """Every schedule of the project and when it fires next."""
    answer = client.page("schedules/", limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        ((each["pipeline"], _state(each), output.when(each["next_at"]), each["says"]) for each in answer["results"]),
        ["pipeline", "state", "next", "schedule"],
        "No schedules yet. Add `schedule:` to a document and publish it.",
    )


@schedules.command()
@click.argument("pipeline")
@click.option("--zone", help="The time zone for the second column; this terminal's if none is named.")
@output.command
def show(client: Client, *, pipeline: str, zone: str | None, as_json: bool) -> None:
    """What a schedule says, its next five moments, and what it has started."""
    asked = {"zone": zone} if zone else {}
    found = client.in_project("GET", at("pipelines", pipeline, "schedule"), params=asked)
    output.print_json(found) if as_json else _show(found, zone)


@schedules.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--zone", help="The time zone for the second column; this terminal's if none is named.")
@output.command
def preview(client: Client, *, file: Path, zone: str | None, as_json: bool) -> None:
    """What the schedule of a document in FILE would do: in words, and its next five moments. Nothing is written."""
    value, _, _ = texts.read(output.document(file))
    if not isinstance(value, dict) or "schedule" not in value:
        output.stop(f"{file} has no `schedule:` that can be read. `manifold validate {file}` says more.", output.USAGE)
    asked = {"schedule": value["schedule"]} | ({"zone": zone} if zone else {})
    found = client.in_project("POST", "schedules/preview/", json=asked)
    if as_json:
        output.print_json(found)
        return
    click.echo(found["says"])
    _show_moments(found["next"], found["definition"].get("timezone", "UTC"), zone)


@schedules.command("on")
@click.argument("pipeline")
@output.command
def switch_on(client: Client, *, pipeline: str, as_json: bool) -> None:
    """Switch a schedule on: it fires from now on (needs the role Admin)."""
    _switch(client, pipeline, "enable", as_json=as_json)


@schedules.command("off")
@click.argument("pipeline")
@output.command
def switch_off(client: Client, *, pipeline: str, as_json: bool) -> None:
    """Switch a schedule off; runs that it has started go on (needs the role Admin)."""
    _switch(client, pipeline, "disable", as_json=as_json)


def _switch(client: Client, pipeline: str, does: str, *, as_json: bool) -> None:
    found = client.in_project("POST", at("pipelines", pipeline, "schedule", does))
    output.print_json(found) if as_json else _show(found, None)


def _show(found: dict[str, Any], zone: str | None) -> None:
    if found["definition"] is None:
        click.echo("The published document has no schedule.")
        return
    click.echo(f"{found['pipeline']}: {_state(found)}. {found['says']}")
    _show_moments(found["next"], found["timezone"], zone)
    for each in found["fires"]:
        missed = f", {each['left_out']} missed before it" if each["left_out"] else ""
        click.echo(f"fired for {output.when(each['scheduled_for'])}: run {each['run']} {each['state']}{missed}")


def _show_moments(moments: list[dict[str, Any]], own: str, zone: str | None) -> None:
    output.table(
        ((_clock(each["local"]), _clock(each["yours"]) if zone else output.when(each["at"])) for each in moments),
        [own, zone or time.tzname[0]],
        "It does not fire any more.",
    )


def _state(found: dict[str, Any]) -> str:
    return "off" if not found["enabled"] else "paused" if found["paused"] else "on"


def _clock(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S %z")
