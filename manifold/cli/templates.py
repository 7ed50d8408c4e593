"""`manifold sources templates`, and what `add` makes of one: well-known services as sources of them begin."""

from __future__ import annotations

from typing import Any

import click

from manifold.cli import output
from manifold.client import Client


@click.command()
@output.command
def templates(client: Client, *, as_json: bool) -> None:
    """Well-known services that a source may begin with, what each asks for, and where its token comes from."""
    answer = client.call("GET", "source-templates/")
    if as_json:
        output.print_json(answer)
        return
    for each in answer["results"]:
        asks = " ".join(f"--set {ask['name']}={ask['example']}" for ask in each["asks"])
        click.secho(f"{each['title']}: {each['summary']}", bold=True)
        click.echo(f"  manifold sources add NAME --template {each['key']} {asks}".rstrip())
        click.echo(f"  {each['access']}\n  {each['documentation']}")


def template_of(client: Client, key: str | None) -> dict[str, Any] | None:
    """The template of this key; None without one. Leaves with a sentence for one that is not there."""
    if key is None:
        return None
    known = {each["key"]: each for each in client.call("GET", "source-templates/")["results"]}
    if key not in known:
        output.stop(f"There is no template {key}; choose one of {', '.join(known)}.", output.USAGE)
    return dict(known[key])


def ask_of(template: dict[str, Any] | None, params: dict[str, Any]) -> None:
    """Ask for what a template asks for and nobody has said."""
    for each in template["asks"] if template else []:
        if each["name"] not in params:
            params[each["name"]] = click.prompt(f"{each['title']}, such as {each['example']}")
