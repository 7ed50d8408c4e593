"""`manifold sources show` and `connect`: what a source is, and letting it in where somebody has to consent."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from manifold.cli import output
from manifold.client import ApiError, Client, at


@click.command()
@click.argument("slug")
@output.command
def show(client: Client, *, slug: str, as_json: bool) -> None:
    """What a source is, without its secrets, and until when it is let in."""
    source = client.in_project("GET", at("sources", slug))
    grant = _grant(client, source)
    if as_json:
        output.print_json({**source, "grant": grant})
        return
    facts = [
        ("source", source["slug"]),
        ("title", source["title"]),
        ("connector", source["connector"]),
        ("health", source["health"]),
        ("reason", source["health_reason"]),
        ("tested", output.when(source["health_at"])),
        ("streams", source["streams"]),
        ("secrets", ", ".join(source["secrets"]) or "none"),
    ]
    shown = [(name, value) for name, value in source["params"].items() if value not in (None, "", [])]
    output.pairs([*facts, *(_told(grant) if grant else []), *shown])


@click.command()
@click.argument("slug")
@click.option("--forget", is_flag=True, help="Forget what lets it in, instead.")
@output.command
def connect(client: Client, *, slug: str, forget: bool, as_json: bool) -> None:
    """Let a source in where somebody has to consent: prints where, and a code if there is one (needs Admin)."""
    if forget:
        client.in_project("DELETE", at("sources", slug, "grant"))
        output.print_json(None) if as_json else click.echo(f"{slug}: not connected any more")
        return
    begun = client.in_project("POST", at("sources", slug, "grant"))
    if as_json:
        output.print_json(begun)
        return
    if not begun["user_code"]:
        click.echo(f"Open this in a browser where you are signed in to the console:\n\n{begun['address']}\n")
        click.echo(f"It comes back to {begun['redirect_uri']}, which has to be registered with the client there.")
        return
    click.echo(f"Open {begun['address']} in any browser, and enter {begun['user_code']}")
    passed = _wait(client, slug, begun)
    click.echo(f"{slug}: connected" + ("" if passed else ", but its test fails: `manifold sources test`"))
    if not passed:
        sys.exit(output.FAILED)


def _wait(client: Client, slug: str, begun: dict[str, Any]) -> bool:
    """Ask until the code has been entered; whether the source passed its test. Raises ApiError where it is over."""
    while True:
        time.sleep(begun["interval"])
        try:
            answer = client.in_project("POST", at("sources", slug, "grant", "entered"))
        except ApiError as error:
            if error.status != 503:
                raise
            continue
        if answer["connected"]:
            return bool(answer["passed"])


def _grant(client: Client, source: dict[str, Any]) -> dict[str, Any] | None:
    """What lets a source in; None for one that needs nobody's consent."""
    try:
        return dict(client.in_project("GET", at("sources", source["slug"], "grant")))
    except ApiError as error:
        if error.status != 409:
            raise
        return None


def _told(grant: dict[str, Any]) -> list[tuple[str, Any]]:
    if not grant["granted_at"]:
        return [("connected", "no: `manifold sources connect`")]
    if grant["refused"]:
        return [("connected", grant["refused"])]
    return [
        ("connected", f"{output.when(grant['granted_at'])} by {grant['granted_by']}"),
        ("scope", grant["scope"]),
        ("renewed", output.when(grant["renewed_at"])),
        ("renews before", "" if grant["token_ends_at"] == grant["ends_at"] else output.when(grant["token_ends_at"])),
        ("holds until", output.when(grant["ends_at"]) if grant["ends_at"] else "it is taken back there"),
    ]
