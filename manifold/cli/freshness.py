"""`manifold freshness`: by when datasets and streams have to be loaded again, and which are late."""

from __future__ import annotations

from typing import Any

import click

from manifold.cli import output
from manifold.client import Client, at


@click.group()
def freshness() -> None:
    """Say by when a dataset, or a stream of a source, has to be loaded again, and see which are late."""


@freshness.command("list")
@output.limit(default=200)
@output.command
def list_freshness(client: Client, *, limit: int, as_json: bool) -> None:
    """What is expected of datasets and streams, and whether it came in time."""
    answer = client.page("freshness/", limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (each["name"], each["state"], output.when(each["due_at"]), output.when(each["loaded_at"]), each["says"])
            for each in answer["results"]
        ),
        ["name", "state", "due", "loaded", "expected"],
        "Nothing is expected yet. Begin with `manifold freshness set NAME --by 09:00`.",
    )


@freshness.command("set")
@click.argument("name")
@click.option("--by", metavar="TIME", help="Loaded by this time of day: 09:00.")
@click.option("--timezone", metavar="ZONE", help="The zone of --by; UTC unless given.")
@click.option("--business-days", is_flag=True, default=None, help="Not on Saturdays and Sundays.")
@click.option("--holidays", metavar="COUNTRY", help="Not on its holidays: DE, US, DE-BY.")
@click.option("--window", type=int, metavar="SECONDS", help="What is loaded so long before --by counts, too.")
@click.option("--max-age", type=int, metavar="SECONDS", help="Instead of --by: never older than this.")
@click.option("--grace", type=int, metavar="SECONDS", help="So much later, late is stale.")
@output.command
def set_freshness(client: Client, *, name: str, as_json: bool, **expected: str | int | bool | None) -> None:
    """Say by when NAME, a dataset or SOURCE/STREAM, has to be loaded, in place of before (needs the role Admin)."""
    given = {option: value for option, value in expected.items() if value is not None}
    if not given:
        raise click.UsageError("Say when: --by or --max-age.")
    answer: dict[str, Any] = client.in_project("PUT", _place(name), json=given)
    if as_json:
        output.print_json(answer)
    else:
        click.echo(f"{name}: {answer['state']}. {answer['says']}; due {output.when(answer['due_at'])}")


@freshness.command()
@click.argument("name")
@output.command
def clear(client: Client, *, name: str, as_json: bool) -> None:
    """Expect nothing of NAME, a dataset or SOURCE/STREAM, any more (needs the role Admin)."""
    client.in_project("DELETE", _place(name))
    output.print_json(None) if as_json else click.echo(f"{name}: nothing is expected")


def _place(name: str) -> str:
    """Where it is expected: of a stream where the name has a slash, which no dataset's has."""
    source, slash, stream = name.partition("/")
    return at("sources", source, "streams", stream, "freshness") if slash else at("datasets", name, "freshness")
