"""`manifold sources types`, `read` and `query`: as what columns arrive and how files are read, tried on a sample first;
and streams of one's own."""

from __future__ import annotations

import sys
from typing import Any

import click

from manifold.cli import output
from manifold.cli.stages import setting
from manifold.client import Client, at


@click.command()
@click.argument("slug")
@click.argument("stream")
@click.option("--set", "wanted", multiple=True, metavar="COLUMN=TYPE", help="A type of DuckDB's; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only try it on a sample.")
@click.option("--anyway", is_flag=True, help="Save it although rows would be set aside.")
@output.command
def types(
    client: Client, *, slug: str, stream: str, wanted: tuple[str, ...], dry_run: bool, anyway: bool, as_json: bool
) -> None:
    """Show the types of a stream's columns, or change some; status 1, and nothing saved, if a sample does not fit."""
    path = at("sources", slug, "streams", stream)
    found = client.in_project("GET", path)
    if not wanted:
        output.print_json(found) if as_json else _show(found)
        return
    body = {"config": {"columns": _changed(found["columns"], wanted)}}
    tried = client.in_project("POST", f"{path}try/", json=body)
    fits = not (tried["error"] or tried["rejected"])
    if not as_json:
        _show_tried(tried)
    if dry_run or not (fits or anyway):
        if as_json:
            output.print_json(tried)
        if not dry_run:
            click.echo("Nothing is saved. Choose another type, or save it with --anyway.", err=True)
        sys.exit(output.DONE if fits else output.FAILED)
    saved = client.in_project("PATCH", path, json=body)
    output.print_json(saved) if as_json else click.echo(f"{stream}: saved; runs that start from now on read it so")


@click.command()
@click.argument("slug")
@click.argument("stream")
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE …")
@click.option("--dry-run", is_flag=True, help="Only try it on a sample.")
@click.option("--anyway", is_flag=True, help="Save it although rows would be set aside.")
@output.command
def read(
    client: Client, *, slug: str, stream: str, settings: tuple[str, ...], dry_run: bool, anyway: bool, as_json: bool
) -> None:
    """Change how a stream's files are read, such as delimiter=tab, and show the columns they have then; status 1, and
    nothing saved, if a sample does not fit."""
    body = {"settings": dict(setting(each, "NAME=VALUE") for each in settings), "dry_run": dry_run, "anyway": anyway}
    found = client.in_project("POST", f"{at('sources', slug, 'streams', stream)}read-so/", json=body)
    fits = not (found["tried"]["error"] or found["tried"]["rejected"])
    if as_json:
        output.print_json(found)
    else:
        _show(found)
        _show_tried(found["tried"])
        if found["saved"]:
            click.echo(f"{stream}: saved; runs that start from now on read it so")
        elif not dry_run:
            click.echo("Nothing is saved. Choose other settings, or save it with --anyway.", err=True)
    sys.exit(output.DONE if found["saved"] or fits else output.FAILED)


@click.command()
@click.argument("slug")
@click.argument("name")
@click.argument("select")
@click.option("--cursor", help="The column that grows with every new row.")
@output.command
def query(client: Client, *, slug: str, name: str, select: str, cursor: str | None, as_json: bool) -> None:
    """Keep the answer of a SELECT, in the source's own SQL, as the stream NAME; `-` reads it from standard input."""
    text = sys.stdin.read() if select == "-" else select
    config = {"query": text, **({"cursor": cursor} if cursor else {})}
    made = client.in_project("POST", f"{at('sources', slug)}streams/", json={"name": name, "config": config})
    output.print_json(made) if as_json else _show(made)


def _changed(columns: list[dict[str, Any]], wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    """The columns with the types that are asked for."""
    given = dict(each.rpartition("=")[::2] for each in wanted)
    unknown = [name for name in given if name not in {each["name"] for each in columns}]
    if unknown:
        output.stop(f"--set: there is no column {', '.join(map(repr, unknown))}; write COLUMN=TYPE.", output.USAGE)
    return [{**each, "type": given.get(each["name"], each["type"])} for each in columns]


def _show(stream: dict[str, Any]) -> None:
    for warning in stream["warnings"]:
        click.echo(output.plain(warning), err=True)
    output.table(
        ((each["name"], each["type"], each["native"], each["warning"]) for each in stream["columns"]),
        ["column", "type", "in the source", "note"],
        "No columns are declared.",
    )


def _show_tried(tried: dict[str, Any]) -> None:
    for warning in tried["warnings"]:
        click.echo(warning, err=True)
    if tried["error"]:
        output.show_error(tried["error"])
        return
    click.echo(f"{output.amount(tried['rows'])} rows would arrive, {output.amount(tried['rejected'])} be set aside")
    if tried["samples"]:
        output.table(
            ((each["file"], each["row"], each["reason"], each["raw"]) for each in tried["samples"]),
            ["file", "row", "why", "what it says"],
            "",
        )
