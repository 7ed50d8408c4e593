"""`manifold hooks`: addresses whose signed messages start runs."""

from __future__ import annotations

from typing import Any

import click

from manifold.cli import output
from manifold.client import Client, at


@click.group()
def hooks() -> None:
    """List the inbound triggers of a pipeline, add one, change its secret, remove it."""


@hooks.command("list")
@click.argument("pipeline")
@output.limit(default=50)
@output.command
def list_hooks(client: Client, *, pipeline: str, limit: int, as_json: bool) -> None:
    """Every inbound trigger of PIPELINE, and when it was used last."""
    answer = client.page(at("pipelines", pipeline, "hooks"), limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["id"],
                each["name"],
                "on" if each["enabled"] else "off",
                len(each["secrets"]),
                output.when(each["messages"][0]["received_at"] if each["messages"] else None),
                client.address(each["address"]),
            )
            for each in answer["results"]
        ),
        ["hook", "name", "state", "secrets", "last message", "address"],
        "No inbound triggers yet. Add one with `manifold hooks add PIPELINE NAME`.",
    )


@hooks.command()
@click.argument("pipeline")
@click.argument("name")
@output.command
def add(client: Client, *, pipeline: str, name: str, as_json: bool) -> None:
    """An address for the sender NAME, with its secret, which is printed this once (needs the role Admin)."""
    made = client.in_project("POST", at("pipelines", pipeline, "hooks"), json={"name": name})
    if as_json:
        output.print_json(made)
        return
    output.pairs([("hook", made["id"]), ("address", client.address(made["address"])), ("secret", made["secret"])])
    click.secho("The secret is not shown again.", fg="yellow")


@hooks.command()
@click.argument("pipeline")
@click.argument("hook")
@click.option("--finish", is_flag=True, help="Remove every secret but the newest, now that the sender uses that one.")
@output.command
def rotate(client: Client, *, pipeline: str, hook: str, finish: bool, as_json: bool) -> None:
    """Another secret for HOOK, printed this once; the old ones hold until `--finish` (needs the role Admin)."""
    place = ("pipelines", pipeline, "hooks", hook)
    if not finish:
        made = client.in_project("POST", at(*place, "secrets"))
        output.print_json(made) if as_json else _show_secret(made)
        return
    *old, _ = client.in_project("GET", at(*place))["secrets"]
    for each in old:
        client.in_project("DELETE", at(*place, "secrets", each["id"]))
    left = client.in_project("GET", at(*place))
    output.print_json(left) if as_json else click.echo(f"{len(old)} old secrets are removed; one is left.")


@hooks.command()
@click.argument("pipeline")
@click.argument("hook")
@output.command
def remove(client: Client, *, pipeline: str, hook: str, as_json: bool) -> None:
    """Delete HOOK; its address never comes back, runs that it has started stay (needs the role Admin)."""
    client.in_project("DELETE", at("pipelines", pipeline, "hooks", hook))
    output.print_json(None) if as_json else click.echo("removed")


def _show_secret(made: dict[str, Any]) -> None:
    output.pairs([("secret", made["secret"])])
    click.secho("It is not shown again. The old ones hold until `manifold hooks rotate --finish`.", fg="yellow")
