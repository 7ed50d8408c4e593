"""`manifold sources detect`: which connector something is for."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any

import click

from manifold.cli import output
from manifold.client import Client

SAMPLE = 64 << 10
"""So many bytes of a file are sent to be looked at."""


@click.command()
@click.argument("text", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Look at the beginning of this file instead.",
)
@output.command
def detect(client: Client, *, text: str | None, file: Path | None, as_json: bool) -> None:
    """Which connector an address, connection string, path or sample is for; `-` reads it from standard input."""
    answer = client.in_project("POST", "sources/detect/", json=body(text, file))
    output.print_json(answer) if as_json else show(answer)


def body(text: str | None, file: Path | None) -> dict[str, Any]:
    """What is asked. What may hold a password is better not part of a command line: it is asked for unseen."""
    if file is not None:
        with file.open("rb") as opened:
            return {"sample": base64.b64encode(opened.read(SAMPLE)).decode(), "name": file.name}
    return {"text": own_path(given(text))}


def own_path(text: str) -> str:
    """A path with whose folder `~` stands for: only here does anybody know who is at home there."""
    return os.path.expanduser(text) if text.startswith("~") else text


def given(text: str | None) -> str:
    """The text, or for `-` and none what is typed unseen or comes from standard input."""
    if text not in (None, "-"):
        return str(text)
    if sys.stdin.isatty():
        return str(click.prompt("Address or connection string", hide_input=True))
    return sys.stdin.read(SAMPLE)


def show(answer: dict[str, Any]) -> None:
    """The candidates, and what each has understood."""
    if not answer["candidates"]:
        click.echo("No connector knows what that is. `manifold sources connectors` lists them all.")
    for each in answer["candidates"]:
        click.secho(f"{each['connector']}  {each['confidence']:.0%}", bold=True)
        for reason in each["reasons"]:
            click.echo(f"  {reason}")
        told = {**each["params"], **dict.fromkeys(each["secrets"], "understood, not shown")}
        output.pairs([(f"  {name}", value) for name, value in told.items()])
        if each["missing"]:
            click.echo(f"  still to be said: {', '.join(each['missing'])}")
    if answer["candidates"] and not answer["clear"]:
        click.echo("It is not clear which is meant: choose one with --connector.")
