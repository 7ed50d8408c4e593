"""`manifold sources`: where data comes from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dataplane.drift import POLICIES
from manifold.cli import output
from manifold.cli.adding import add
from manifold.cli.connecting import connect, show
from manifold.cli.costs import cost
from manifold.cli.datasets import show_rows
from manifold.cli.detecting import detect
from manifold.cli.drift import drift
from manifold.cli.ingestion import history
from manifold.cli.lineage import impact
from manifold.cli.messages import inbox, lag
from manifold.cli.stages import (
    asked_secrets,
    parameters,
    secret_option,
    show_check,
    show_streams,
    tell_found,
    tell_rejected,
)
from manifold.cli.streams import query, read, types
from manifold.cli.templates import templates
from manifold.client import Client, at


@click.group()
def sources() -> None:
    """List, add and test sources; discover and preview their streams."""


sources.add_command(types)
sources.add_command(read)
sources.add_command(query)
sources.add_command(add)
sources.add_command(show)
sources.add_command(templates)
sources.add_command(connect)
sources.add_command(lag)
sources.add_command(inbox)
sources.add_command(drift)
sources.add_command(history)
sources.add_command(impact)
sources.add_command(cost)
sources.add_command(detect)


_NONE = "No sources yet. Add one with `manifold sources add SLUG --connector local_files --set path=/data`."
_NONE_FITS = "No source fits what was asked for."


@sources.command("list")
@click.option("--name", help="Only those with this in their name or title.")
@click.option("--connector", help="Only those of this kind, such as postgresql.")
@click.option(
    "--health", type=click.Choice(["healthy", "warning", "error", "unknown"]), help="Only those of this health."
)
@output.command
def list_sources(client: Client, *, as_json: bool, **asked: str | None) -> None:
    """Every source of the project: its health, when it was read last and is read next, and its figures."""
    found = list(client.each("sources/", **asked))
    if as_json:
        output.listed(found)
        return
    cards = {each["slug"]: _on_card(each) for each in client.each("cards/", **asked)}
    output.table(
        (
            (each["slug"], each["connector"], each["health"], *cards.get(each["slug"], ("–", "–", "")), each["title"])
            for each in found
        ),
        ["source", "connector", "health", "read", "next", "figures", "title"],
        _NONE_FITS if any(asked.values()) else _NONE,
    )


def _on_card(card: dict[str, Any]) -> tuple[str, str, str]:
    """When it was read last, and how that ended where not well; when it is read next; and its figures."""
    last = card["last_read"]
    ended = f" {last['state']}" if last and last["state"] != "succeeded" else ""
    known = [each for each in card["figures"] if each["value"] is not None]
    figures = [f"{each['name']} {_figure(each['value'])}" for each in known]
    figures += [f"{each} not in time" for each in card["late_streams"]]
    return output.when(last and last["at"]) + ended, output.when(card["next_read_at"]), ", ".join(figures)


def _figure(value: Any) -> str:
    if isinstance(value, str):
        return output.when(value) if value[10:11] == "T" else value
    return output.amount(value)


@sources.command()
@click.argument("slug")
@click.option("--title", help="A name for people.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter; null takes it out.")
@secret_option
@click.option("--writable/--read-only", default=None, help="Whether pipelines may load into its tables.")
@click.option("--check-every", type=int, metavar="SECONDS", help="How often it is tested; 0 for by hand only.")
@click.option("--drift", type=click.Choice([*POLICIES]), help="What runs do when columns have changed.")
@click.option("--secrets-expire", metavar="DAY", help="The last day on which its secrets are good, or `never`.")
@output.command
def change(
    client: Client,
    *,
    slug: str,
    title: str | None,
    settings: tuple[str, ...],
    secrets: tuple[str, ...],
    writable: bool | None,
    check_every: int | None,
    drift: str | None,
    secrets_expire: str | None,
    as_json: bool,
) -> None:
    """Change what is given of a source and keep the rest; `--writable` lets pipelines load into its tables."""
    given = parameters(client, client.in_project("GET", at("sources", slug))["connector"], settings) if settings else {}
    wanted = {
        "title": title,
        "writable": writable,
        "check_every": check_every,
        "drift": drift,
        "params": {**given, **asked_secrets(secrets)} or None,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    if not body and not secrets_expire:
        raise click.UsageError(
            "Say what to change: --title, --set, --secret, --writable, --read-only, --check-every, --drift or "
            "--secrets-expire."
        )
    changed = client.in_project("PATCH" if body else "GET", at("sources", slug), json=body or None)
    if secrets_expire:
        _set_expiry(client, changed, secrets_expire)
    if as_json:
        output.print_json(changed)
    else:
        told = "" if writable is None else f"; pipelines {'may' if writable else 'may not'} load into its tables"
        click.echo(f"{slug}: changed{told}")


@sources.command()
@click.argument("slug")
@click.argument("stream", required=False)
@output.command
def remove(client: Client, *, slug: str, stream: str | None, as_json: bool) -> None:
    """Delete a source, or one STREAM of it, that no published pipeline uses; what was read stays (needs Admin)."""
    client.in_project("DELETE", at("sources", slug, "streams", stream) if stream else at("sources", slug))
    output.print_json(None) if as_json else click.echo("removed")


@sources.command()
@output.command
def connectors(client: Client, *, as_json: bool) -> None:
    """The kinds of source and what each can do."""
    answer = client.call("GET", "connectors/")
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (each["key"], each["title"], ", ".join(name for name, can in each["capabilities"].items() if can))
            for each in answer["results"]
        ),
        ["connector", "title", "can"],
        "",
    )


@sources.command()
@click.argument("slug")
@output.command
def test(client: Client, *, slug: str, as_json: bool) -> None:
    """Test a source stage by stage; status 1 if one fails."""
    check = client.in_project("POST", at("sources", slug, "test"))
    output.print_json(check) if as_json else show_check(check)
    if not check["ok"]:
        sys.exit(output.FAILED)


@sources.command()
@click.argument("slug")
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="So many are looked at.")
@output.command
def health(client: Client, *, slug: str, days: int, as_json: bool) -> None:
    """How a source is and why, and how its tests went; status 3 unless it is healthy."""
    answer = client.in_project("GET", at("sources", slug, "health"), params={"days": days})
    if as_json:
        output.print_json(answer)
    else:
        _show_health(answer)
    if answer["health"] != "healthy":
        sys.exit(output.UNHEALTHY)


@sources.command()
@click.argument("slug")
@click.option("--stream", "streams", multiple=True, help="Look into this stream only.")
@output.command
def discover(client: Client, *, slug: str, streams: tuple[str, ...], as_json: bool) -> None:
    """Find a source's streams and their schemas."""
    body = {"streams": list(streams)} if streams else {}
    found = client.in_project("POST", at("sources", slug, "discover"), json=body)
    if as_json:
        output.print_json(found)
        return
    show_streams(found)
    tell_found(found, slug)


@sources.command()
@click.argument("slug")
@output.command
def preflight(client: Client, *, slug: str, as_json: bool) -> None:
    """What stands against reading its streams as they are declared, and what mends it; status 1 if anything."""
    answer = client.in_project("POST", at("sources", slug, "preflight"))
    if as_json:
        output.print_json(answer)
    else:
        said = [f"{each['message']}\n  {each['remedy']}".rstrip() for each in answer["results"]]
        click.echo("\n".join(said) or "Nothing stands against it.")
    if answer["results"]:
        sys.exit(output.FAILED)


@sources.command()
@click.argument("slug")
@click.argument("stream")
@output.command
def preview(client: Client, *, slug: str, stream: str, as_json: bool) -> None:
    """The first 50 rows of a stream, as they would arrive."""
    answer = client.in_project("GET", at("sources", slug, "streams", stream, "preview"))
    if as_json:
        output.print_json(answer)
        return
    show_rows(answer)
    tell_rejected(answer)


@sources.command()
@click.argument("slug")
@output.limit(default=200)
@output.command
def files(client: Client, *, slug: str, limit: int, as_json: bool) -> None:
    """Every file ever seen in a source, newest name last."""
    answer = client.page(at("sources", slug, "files"), limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["path"],
                each["stream"],
                each["file_date"],
                output.size(each["size"]),
                output.when(each["modified"]),
                "ignored" if each["ignored"] else "",
            )
            for each in answer["results"]
        ),
        ["file", "stream", "date", "size", "modified", ""],
        "No files seen yet. Discover the source or run a pipeline that reads it.",
    )


@sources.command()
@click.argument("slug")
@click.argument("files", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Take them in again.")
@output.command
def ignore(client: Client, *, slug: str, files: tuple[str, ...], undo: bool, as_json: bool) -> None:
    """Leave FILES of a source out of every later read, as `manifold sources files` names them."""
    listed = at("sources", slug, "files")
    found = [each for name in dict.fromkeys(files) for each in client.each(listed, path=name) if each["path"] == name]
    if missing := sorted({*files} - {each["path"] for each in found}):
        output.stop(f"No file {', '.join(missing)} was seen in {slug}: `manifold sources files {slug}`.", output.USAGE)
    changed = [
        client.in_project(
            "POST",
            at("sources", slug, "streams", each["stream"], "files", each["id"], "ignore"),
            json={"ignored": not undo},
        )
        for each in found
    ]
    if as_json:
        output.print_json(changed)
        return
    for each in changed:
        click.echo(f"{each['path']} of {each['stream']}: {'taken in again' if undo else 'ignored'}")


@sources.command()
@click.argument("slug")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output.command
def upload(client: Client, *, slug: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Give a source files, each under its own name; stops at the first that is refused."""
    kept = []
    for file in files:
        answer = client.upload(at("sources", slug, "uploads", file.name), file)
        kept.append(answer)
        if not as_json:
            click.echo(f"{answer['name']}: kept, {output.size(answer['size'])}")
    if as_json:
        output.listed(kept)


@sources.command()
@click.argument("slug")
@output.limit(default=200)
@output.command
def uploads(client: Client, *, slug: str, limit: int, as_json: bool) -> None:
    """The files that were given to a source."""
    answer = client.page(at("sources", slug, "uploads"), limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (each["name"], output.size(each["size"]), output.when(each["uploaded_at"]), each["uploaded_by"])
            for each in answer["results"]
        ),
        ["file", "size", "uploaded", "by"],
        "Nothing was uploaded yet. Give it files with `manifold sources upload SOURCE FILE…`.",
    )


@sources.command()
@click.argument("slug")
@click.argument("name")
@output.command
def discard(client: Client, *, slug: str, name: str, as_json: bool) -> None:
    """Remove a file that was given to a source; the data that was read from it stays."""
    client.in_project("DELETE", at("sources", slug, "uploads", name))
    output.print_json(None) if as_json else click.echo(f"{name}: removed")


def _set_expiry(client: Client, source: dict[str, Any], day: str) -> None:
    if source["credential"] is None:
        output.stop(f"{source['slug']} has no secrets that could expire.", output.USAGE)
    body = {"expires_on": None if day == "never" else day}
    client.in_project("PATCH", at("credentials", source["credential"]), json=body)


def _show_health(answer: dict[str, Any]) -> None:
    figures = answer["connection"]
    rate, every = figures["success_rate"], answer["check_every"]
    output.pairs(
        [
            ("health", answer["health"]),
            ("reason", answer["health_reason"]),
            ("tested", output.when(answer["health_at"])),
            ("next test", output.when(answer["next_check_at"]) if every else "by hand only"),
            ("days", figures["days"]),
            ("tests", f"{figures['tests']}, {figures['failed']} failed"),
            ("passed", "" if rate is None else f"{rate:.1%}"),
            ("usually takes", output.seconds(figures["latency_p50_s"])),
            ("95 % within", output.seconds(figures["latency_p95_s"])),
        ]
    )
