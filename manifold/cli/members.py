"""`manifold members` and `manifold projects`: who works together on what."""

from __future__ import annotations

import click

from manifold.cli import output
from manifold.client import Client, at

ROLES = click.Choice(["viewer", "operator", "admin"])


@click.group()
def members() -> None:
    """Who is in the project, and as what."""


@members.command("list")
@output.command
def list_members(client: Client, *, as_json: bool) -> None:
    """The members of the project."""
    found = client.in_project("GET", "members/", params={"page_size": 500})
    if as_json:
        output.print_json(found)
        return
    rows = ((each["username"], each["role"], each["active"]) for each in found["results"])
    output.table(rows, ["user", "role", "active"], "Nobody.")


@members.command("set")
@click.argument("username")
@click.argument("role", type=ROLES)
@output.command
def set_role(client: Client, *, username: str, role: str, as_json: bool) -> None:
    """Add somebody who has an account, or change what they are."""
    answer = client.in_project("PUT", at("members", username), json={"role": role})
    output.print_json(answer) if as_json else click.echo(f"{answer['username']} is {answer['role']}")


@members.command()
@click.argument("username")
@output.command
def remove(client: Client, *, username: str, as_json: bool) -> None:
    """End a membership, and the tokens that are limited to the project."""
    client.in_project("DELETE", at("members", username))
    output.print_json(None) if as_json else click.echo("removed")


@members.command()
@click.argument("name")
@click.option("--role", type=ROLES, default="viewer", show_default=True)
@click.option("--days", type=int, default=7, show_default=True, help="How long the link lasts.")
@output.command
def invite(client: Client, *, name: str, role: str, days: int, as_json: bool) -> None:
    """Make a link by which somebody joins once; it is shown once. NAME says for whom it is."""
    answer = client.in_project("POST", "invitations/", json={"name": name, "role": role, "days": days})
    output.print_json(answer) if as_json else click.echo(answer["link"])


@members.command()
@output.limit(default=30)
@output.command
def invitations(client: Client, *, limit: int, as_json: bool) -> None:
    """The newest invitations, and what became of them."""
    answer = client.page("invitations/", limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (each["id"], each["name"], each["role"], output.when(each["expires_at"]), _fate(each))
            for each in answer["results"]
        ),
        ["invitation", "for", "role", "until", "became"],
        "No invitations. Make one with `manifold members invite NAME`.",
    )


@members.command()
@click.argument("invitation")
@output.command
def withdraw(client: Client, *, invitation: str, as_json: bool) -> None:
    """Make the link of an invitation useless at once."""
    answer = client.in_project("POST", at("invitations", invitation, "withdraw"))
    output.print_json(answer) if as_json else click.echo("withdrawn")


@members.command()
@click.argument("link")
@output.command
def join(client: Client, *, link: str, as_json: bool) -> None:
    """Join a project by the link of an invitation."""
    answer = client.call("POST", "me/join/", json={"invitation": link})
    output.print_json(answer) if as_json else click.echo(f"{answer['slug']}: you are {answer['role']}")


@click.group()
def projects() -> None:
    """Rooms of their own: sources, pipelines and data that only members see."""


@projects.command("list")
@output.command
def list_projects(client: Client, *, as_json: bool) -> None:
    """The projects you are in."""
    found = client.call("GET", "projects/", params={"page_size": 500})
    if as_json:
        output.print_json(found)
        return
    rows = ((each["slug"], each["name"], output.when(each["created_at"])) for each in found["results"])
    output.table(rows, ["project", "name", "made"], "You are in no project.")


@projects.command()
@click.argument("slug")
@click.option("--name", default="", help="What people read; the slug if left out.")
@click.option("--admin", default="", help="Its first administrator's user name; you if left out.")
@output.command
def create(client: Client, *, slug: str, name: str, admin: str, as_json: bool) -> None:
    """Make a project (superusers only)."""
    answer = client.call("POST", "projects/", json={"slug": slug, "name": name, "admin": admin})
    output.print_json(answer) if as_json else click.echo(answer["slug"])


def _fate(invitation: dict[str, str | None]) -> str | None:
    if invitation["accepted_at"]:
        return f"{invitation['accepted_by'] or 'somebody'} joined"
    return "withdrawn" if invitation["withdrawn_at"] else None
