"""`manifold users`: the people of the platform, for whoever administers it."""

from __future__ import annotations

import secrets

import click

from manifold.cli import output
from manifold.client import Client, at


@click.group()
def users() -> None:
    """People who can sign in (superusers only)."""


@users.command("list")
@output.command
def list_users(client: Client, *, as_json: bool) -> None:
    """Everybody, and from where somebody is locked out."""
    found = client.call("GET", "users/", params={"page_size": 500})
    if as_json:
        output.print_json(found)
        return
    output.table(
        (
            (
                each["username"],
                each["email"] or None,
                each["is_active"],
                each["is_superuser"],
                each["second_factor"],
                output.when(each["last_login"]),
                ", ".join(
                    f"{lock['address'] or 'everywhere'} until {output.when(lock['until'])}" for lock in each["locks"]
                )
                or None,
            )
            for each in found["results"]
        ),
        ["user", "e-mail", "active", "superuser", "second factor", "last sign-in", "locked out"],
        "Nobody.",
    )


@users.command()
@click.argument("username")
@click.option("--email", default="", help="E-mail address.")
@click.option("--superuser", is_flag=True, help="Let them create projects and users.")
@output.command
def create(client: Client, *, username: str, email: str, superuser: bool, as_json: bool) -> None:
    """Add a person with a generated password, which is shown once."""
    password = secrets.token_urlsafe(15)
    body = {"username": username, "password": password, "email": email, "superuser": superuser}
    made = client.call("POST", "users/", json=body)
    if as_json:
        output.print_json({**made, "password": password})
    else:
        click.echo(f"{made['username']}  password {password}")


@users.command()
@click.argument("username")
@click.option("--email", help="E-mail address; an empty one takes it away.")
@click.option("--superuser/--no-superuser", default=None, help="Whether they create projects and users.")
@output.command
def change(client: Client, *, username: str, email: str | None, superuser: bool | None, as_json: bool) -> None:
    """Change somebody's address, or whether they administer the platform."""
    given = {"email": email, "is_superuser": superuser}
    body = {name: value for name, value in given.items() if value is not None}
    if not body:
        output.stop("Say what to change: --email, --superuser or --no-superuser.", output.USAGE)
    _answer(client.call("PATCH", at("users", username), json=body), as_json, "changed")


@users.command()
@click.argument("username")
@output.command
def password(client: Client, *, username: str, as_json: bool) -> None:
    """Make a new password for somebody who has lost theirs, shown once; they are signed out everywhere."""
    made = client.call("POST", at("users", username, "password"))
    output.print_json(made) if as_json else click.echo(f"{username}  password {made['password']}")


@users.command()
@click.argument("username")
@output.command
def deactivate(client: Client, *, username: str, as_json: bool) -> None:
    """Keep a person out: their sessions and tokens stop working at once."""
    _answer(client.call("PATCH", at("users", username), json={"is_active": False}), as_json, "deactivated")


@users.command()
@click.argument("username")
@output.command
def activate(client: Client, *, username: str, as_json: bool) -> None:
    """Let a deactivated person in again."""
    _answer(client.call("PATCH", at("users", username), json={"is_active": True}), as_json, "active")


@users.command()
@click.argument("username")
@output.command
def unlock(client: Client, *, username: str, as_json: bool) -> None:
    """Let somebody try again who was locked out by wrong passwords or codes."""
    _answer(client.call("POST", at("users", username, "unlock")), as_json, "unlocked")


@users.command("end-sessions")
@click.argument("username")
@output.command
def end_sessions(client: Client, *, username: str, as_json: bool) -> None:
    """Sign somebody out of the console everywhere; their tokens go on."""
    answer = client.call("POST", at("users", username, "end-sessions"))
    output.print_json(answer) if as_json else click.echo(f"{answer['ended']} ended")


@users.command("remove-factor")
@click.argument("username")
@output.command
def remove_factor(client: Client, *, username: str, as_json: bool) -> None:
    """Take somebody's second factor away, for instance with a lost phone; they are signed out everywhere."""
    client.call("DELETE", at("users", username, "second-factor"))
    output.print_json({"second_factor": False}) if as_json else click.echo("removed")


def _answer(user: object, as_json: bool, said: str) -> None:
    output.print_json(user) if as_json else click.echo(said)
