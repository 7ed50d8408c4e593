"""What commands of sources share: how parameters are written, and how tests and streams are shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from manifold.cli import output
from manifold.client import Client, at

_TOLD = 5
secret_option = click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME",
    help="A secret parameter, asked for at a prompt or read from standard input.",
)


def setting(text: str, hint: str = "--set") -> tuple[str, Any]:
    """`name=value`; a value that is JSON (a number, true, a list) is taken as such, everything else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=hint)
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def parameters(client: Client, connector: str, texts: Sequence[str]) -> dict[str, Any]:
    """Parameters of a connector, each `name=value`; of one that is a list also with commas between its parts."""
    given = dict(map(setting, texts))
    if all(value is None or isinstance(value, list) for value in given.values()):
        return given
    known = client.call("GET", at("connectors", connector))["schema"].get("properties", {})
    for name, _, text in (each.partition("=") for each in texts):
        value, part = given[name], known.get(name, {})
        if (
            value is not None
            and not isinstance(value, list | dict)
            and any(each.get("type") == "array" for each in (part, *part.get("anyOf", ())))
        ):
            quoted = isinstance(value, str) and value != text
            given[name] = [value] if quoted else [each.strip() for each in text.split(",") if each.strip()]
    return given


def asked_secrets(names: Sequence[str]) -> dict[str, str]:
    """These secrets by their names, each asked for where somebody types, else a line of standard input."""
    if sys.stdin.isatty():
        return {name: click.prompt(name, hide_input=True) for name in names}
    found = {name: sys.stdin.readline().rstrip("\n") for name in names}
    if lacking := [name for name, value in found.items() if not value]:
        raise click.UsageError(f"Standard input has no line for {', '.join(lacking)}: nothing is changed.")
    return found


def show_check(check: dict[str, Any]) -> None:
    """Each stage of a test with its time, and the error of the one that failed."""
    for stage in check["stages"]:
        mark = click.style("ok    ", fg="green") if stage["ok"] else click.style("failed", fg="red")
        error = stage.get("error")
        detail = "" if error and error["message"] == stage["detail"] else stage["detail"]
        click.echo(f"{mark}  {stage['name']:<14} {stage['seconds']:6.2f} s  {output.plain(detail)}".rstrip())
        if error:
            output.show_error(error)


def show_streams(found: dict[str, Any]) -> None:
    """Streams with how much they hold."""
    output.table(
        (
            (each["name"], len(each["columns"]), output.amount(each["rows"]), output.size(each["bytes"]))
            for each in found["results"]
        ),
        ["stream", "columns", "rows", "size"],
        "Nothing to read was found. Check the folder, pattern or schema of the source, or give it its files.",
    )


def tell_found(found: dict[str, Any], slug: str) -> None:
    """What was said of the streams of a source, and which could not be looked into."""
    for each in found["results"]:
        for warning in each.get("warnings", ()):
            click.echo(output.plain(f"{each['name']}: {warning}"), err=True)
    if bare := [each["name"] for each in found["results"] if not each["columns"]]:
        click.echo(f"Without columns: {', '.join(bare)}. `manifold sources preview {slug} STREAM` tells why.", err=True)


def tell_rejected(preview: dict[str, Any]) -> None:
    """What of the looked-at part of a stream would not arrive, and the first reasons."""
    if not preview["rejected"]:
        return
    rows = "1 row" if preview["rejected"] == 1 else f"{output.amount(preview['rejected'])} rows"
    click.echo(f"{rows} of what was looked at would be set aside:", err=True)
    for each in preview["samples"][:_TOLD]:
        place = f"{each['place']}: " if each["place"] else ""
        click.echo(output.plain(f"  {place}{each['reason']}: {each['raw']}"), err=True)
