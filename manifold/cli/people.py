"""`manifold audit`, `manifold tokens` and `manifold sessions`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from manifold.cli import output
from manifold.client import Client, at

FILTERS = {
    "--verb": "Only this verb, e.g. `run started`.",
    "--actor": "Only what this person did, with their tokens.",
    "--type": "Only what happened to objects of this type.",
    "--object": "Only what happened to the object of this id.",
    "--request": "Only what this request did.",
    "--text": "Only events with these words in a name, an id or a value.",
    "--since": "From this time on (RFC 3339).",
    "--until": "Before this time (RFC 3339).",
}
# What the API calls them, where a command's option is shorter.
_CALLED = {"type": "object_type", "object": "object_id", "request": "request_id"}


def _filters(function: output.Command) -> output.Command:
    """Give a command the filters of the audit log."""
    for name, said in reversed(FILTERS.items()):
        function = click.option(name, help=said)(function)
    return function


def _given(asked: dict[str, str | None]) -> dict[str, str]:
    return {_CALLED.get(name, name): value for name, value in asked.items() if value is not None}


@click.group()
def audit() -> None:
    """Who changed what; and whether the record is whole."""


@audit.command("list")
@output.limit(default=30)
@_filters
@output.command
def list_events(client: Client, *, limit: int, as_json: bool, **asked: Any) -> None:
    """The newest events of the project first."""
    answer = client.page("events/", limit, **_given(asked))
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["id"],
                output.when(each["at"]),
                each["actor_name"],
                each["verb"],
                each["object_type"],
                each["object_name"] or each["object_id"],
            )
            for each in answer["results"]
        ),
        ["event", "at", "who", "did", "to", "name"],
        "No events.",
    )


@audit.command()
@_filters
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), default="csv", show_default=True)
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@output.command
def export(client: Client, *, form: str, target: Path | None, as_json: bool, **asked: Any) -> None:
    """Save the events of the project as a file; in CSV, cells that would be formulas are made harmless."""
    target = target or Path(f"audit-{client.project}.{form}")
    if target.exists():
        output.stop(f"{target} exists already; name another file with -o.", output.USAGE)
    written = client.download(at("events", "export"), target, format=form, **_given(asked))
    output.print_json({"file": str(target), "bytes": written}) if as_json else click.echo(
        f"{target}  {output.size(written)}"
    )


@audit.command()
@output.command
def verify(client: Client, *, as_json: bool) -> None:
    """Check the chain of seals; status 1 and the altered rows' numbers if any was edited."""
    answer = client.call("GET", "events/verify/")
    if as_json:
        output.print_json(answer)
    else:
        click.echo(f"{output.amount(answer['events'])} events under {output.amount(answer['seals'])} seals: ", nl=False)
        click.secho("whole" if answer["ok"] else "altered", fg="green" if answer["ok"] else "red")
        for each in answer["problems"]:
            click.echo(f"  {each}")
        click.echo(f"head {answer['head']}  (keep it elsewhere: a chain that was rewritten as a whole has another)")
    if not answer["ok"]:
        sys.exit(output.FAILED)


@click.group()
def tokens() -> None:
    """Keys to the API."""


@tokens.command("list")
@output.command
def list_tokens(client: Client, *, as_json: bool) -> None:
    """Your tokens; never the secret part."""
    found = client.call("GET", "tokens/")
    if as_json:
        output.print_json(found)
        return
    output.table(
        (
            (
                each["id"],
                each["name"],
                each["hint"],
                each["role"],
                each["project"],
                output.when(each["expires_at"]),
                output.when(each["last_used_at"]),
            )
            for each in found["results"]
        ),
        ["token", "name", "begins", "role", "project", "expires", "last used"],
        "No tokens.",
    )


@tokens.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), default="operator", show_default=True)
@click.option("--project", help="Limit it to one project.")
@click.option("--days", type=int, help="Let it expire after so many days.")
@output.command
def issue(client: Client, *, name: str, role: str, project: str | None, days: int | None, as_json: bool) -> None:
    """Make a token; it is shown once."""
    answer = client.call("POST", "tokens/", json={"name": name, "role": role, "project": project, "days": days})
    output.print_json(answer) if as_json else click.echo(answer["token"])


@tokens.command()
@click.argument("token_id", metavar="TOKEN")
@output.command
def revoke(client: Client, *, token_id: str, as_json: bool) -> None:
    """Make a token useless at once."""
    answer = client.call("POST", at("tokens", token_id, "revoke"))
    output.print_json(answer) if as_json else click.echo("revoked")


@click.group()
def sessions() -> None:
    """Where you are signed in to the console."""


@sessions.command("list")
@output.command
def list_sessions(client: Client, *, as_json: bool) -> None:
    """The last used first."""
    found = client.call("GET", "me/sessions/")
    if as_json:
        output.print_json(found)
        return
    output.table(
        (
            (each["id"], each["device"], each["address"], output.when(each["began_at"]), output.when(each["seen_at"]))
            for each in found["results"]
        ),
        ["session", "device", "address", "since", "last used"],
        "You are not signed in to the console.",
    )


@sessions.command()
@click.argument("session", required=False)
@click.option("--all", "everywhere", is_flag=True, help="Sign out of the console everywhere.")
@output.command
def end(client: Client, *, session: str | None, everywhere: bool, as_json: bool) -> None:
    """Sign out of the console in one place, or everywhere."""
    if everywhere == bool(session):
        output.stop("Name a session of `manifold sessions list`, or say --all.", output.USAGE)
    if session:
        client.call("DELETE", at("me", "sessions", session))
    else:
        client.call("POST", at("me", "sessions", "end-others"))
    output.print_json(None) if as_json else click.echo("ended")
