"""`manifold sources lag` and `inbox`: streams of messages, and the events that others send."""

from __future__ import annotations

from typing import Any

import click

from manifold.cli import output
from manifold.client import Client, at


@click.command()
@click.argument("slug")
@click.argument("stream")
@output.command
def lag(client: Client, *, slug: str, stream: str, as_json: bool) -> None:
    """How far behind the pipelines are that read STREAM of the source SLUG, asked of it now."""
    found = client.in_project("GET", at("sources", slug, "streams", stream, "lag"))
    if as_json:
        output.print_json(found)
        return
    click.echo(f"{stream} holds {output.amount(found['messages'])} messages")
    output.table(
        (
            (
                each["pipeline"],
                each["step"],
                ("at least " if each["at_least"] else "") + output.amount(each["behind"]),
                output.when(each["waiting_since"]),
                output.amount(each["gone"]),
                output.amount(each["messages_per_s"]),
                output.when(each["loaded_at"]),
            )
            for each in found["readers"]
        ),
        ["pipeline", "step", "waiting", "since", "gone", "messages/s", "loaded"],
        "No published pipeline reads it by what is new.",
    )


@click.command()
@click.argument("slug")
@click.option("--new-secret", is_flag=True, help="Make one and print it this once; the one before holds, too.")
@click.option("--drop-previous", is_flag=True, help="Refuse events that are signed with the secret before.")
@output.command
def inbox(client: Client, *, slug: str, new_secret: bool, drop_previous: bool, as_json: bool) -> None:
    """Where events for the source SLUG are sent, and which came last; or its secrets (needs the role Admin)."""
    if new_secret:
        made = client.in_project("POST", at("sources", slug, "inbox", "secret"))
        if as_json:
            output.print_json(made)
            return
        output.pairs([("secret", made["secret"])])
        click.secho("It is not shown again. The one before holds until --drop-previous.", fg="yellow")
        return
    if drop_previous:
        client.in_project("DELETE", at("sources", slug, "inbox", "secret"))
        output.print_json(None) if as_json else click.echo("events signed with the secret before are refused")
        return
    _show(client, client.in_project("GET", at("sources", slug, "inbox")), as_json=as_json)


def _show(client: Client, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    output.pairs(
        [
            ("address", client.address(found["address"])),
            ("secrets", str(found["secrets"]) if found["secrets"] else "none: no event is taken"),
            ("received", output.amount(found["received"])),
            ("kept", output.amount(found["kept"])),
        ]
    )
    output.table(
        (
            (each["position"], each["message_id"], each["size"], output.when(each["received_at"]))
            for each in found["events"]
        ),
        ["position", "event", "bytes", "came"],
        "No event is kept.",
    )
