"""`manifold sources drift`: how the columns of a source have changed, and what runs make of it."""

from __future__ import annotations

import sys
from typing import Any

import click

from dataplane.drift import POLICIES
from manifold.cli import output
from manifold.client import Client, at

renames = click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="OLD=NEW",
    help="A column that has gone and what it is called now; it goes on arriving as OLD. May be repeated.",
)


@click.command()
@click.argument("slug")
@click.argument("stream", required=False)
@click.option("--seen", is_flag=True, help="Mark the changes of the stream as seen; its source warns no more.")
@click.option("--accept", is_flag=True, help="Read the stream as it was found last.")
@renames
@click.option("--remember", is_flag=True, help="With --accept: follow such changes from now on (role Admin).")
@click.option("--policy", type=click.Choice(["source", *POLICIES]), help="What runs of the stream do at a change.")
@output.command
def drift(
    client: Client,
    *,
    slug: str,
    stream: str | None,
    seen: bool,
    accept: bool,
    renames: tuple[str, ...],
    remember: bool,
    policy: str | None,
    as_json: bool,
) -> None:
    """How the columns of a source, or of one STREAM, have changed; status 3 while nobody has seen it."""
    if stream is None and (seen or accept or policy):
        raise click.UsageError("Say of which stream: manifold sources drift SOURCE STREAM …")
    path = at("sources", slug, "streams", stream) if stream else at("sources", slug)
    if policy:
        client.in_project("PATCH", path, json={"drift": "" if policy == "source" else policy})
    if accept:
        _accept(client, path, {"renames": pairs(renames), "remember": remember})
    found = client.in_project("POST", f"{path}drift/seen/") if seen else client.in_project("GET", f"{path}drift/")
    if as_json:
        output.print_json(found)
    elif stream and not found["results"]:
        since = output.when(client.in_project("GET", path)["discovered_at"])
        click.echo(f"No column of {stream} has changed since {since}, when it was discovered.")
    else:
        _show(found["results"], f"No column of any stream of {slug} has changed since that stream was discovered.")
    if any(each["seen_at"] is None for each in found["results"]):
        sys.exit(output.UNHEALTHY)


def pairs(given: tuple[str, ...]) -> dict[str, str]:
    """What `OLD=NEW` says; leaves with a sentence where it is none."""
    found: dict[str, str] = {}
    for each in given:
        old, _, new = each.partition("=")
        if not old or not new:
            output.stop(f"--rename: {each!r} is not OLD=NEW.", output.USAGE)
        found[old] = new
    return found


def _accept(client: Client, path: str, body: dict[str, Any]) -> None:
    drifts = client.in_project("GET", f"{path}drift/")["results"]
    last = next((each for each in drifts if each["state"] != "followed"), None)
    if last is None:
        output.stop("There is no change that was not taken over.", output.FAILED)
    client.in_project("POST", f"{path}drift/{last['id']}/accept/", json=body)


def _show(drifts: list[dict[str, Any]], nothing: str) -> None:
    rows = []
    for each in drifts:
        news = "" if each["seen_at"] else "new"
        head = [output.when(each["found_at"]), each["stream"], each["state"], news]
        for change in each["changes"]:
            for part in change["inside"] or [change]:
                rows.append((*head, part["kind"], part["column"], _types(part)))
                head = [""] * 4
    output.table(rows, ["found", "stream", "state", "", "change", "column", "type"], nothing)


def _types(change: dict[str, Any]) -> str:
    guesses = ", ".join(f"{each['column']} {each['score']:.0%}" for each in change.get("candidates", ()))
    types = " → ".join(filter(None, (change["before"], change["after"])))
    return f"{types}; perhaps {guesses}" if guesses else types
