"""`manifold retries`: when failed steps are tried again by themselves."""

from __future__ import annotations

import click

from manifold.cli import output
from manifold.client import Client, at


@click.command()
@click.argument("pipeline")
@output.command
def retries(client: Client, *, pipeline: str, as_json: bool) -> None:
    """When failed steps of PIPELINE are tried again, and after which errors."""
    found = client.in_project("GET", at("pipelines", pipeline, "retries"))
    if as_json:
        output.print_json(found)
        return
    if found["policy"] is None:
        click.echo("Nothing is published, so no step runs.")
        return
    click.echo(found["policy"]["says"])
    for each in found["steps"]:
        if each["own"]:
            click.echo(f"{each['key']}: {each['policy']['says']}")
