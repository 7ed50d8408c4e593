"""What is kept: `manifold datasets` and `manifold snapshots`."""

from __future__ import annotations

from pathlib import Path

import click

from manifold.cli import output
from manifold.cli.sql import FORMATS, show_rows
from manifold.client import Client, at


@click.command()
@output.command
def datasets(client: Client, *, as_json: bool) -> None:
    """The project's datasets and their newest snapshot."""
    found = list(client.each("datasets/"))
    if as_json:
        output.listed(found)
        return
    output.table(
        (
            (
                each["slug"],
                each["head"] or "–",
                output.amount(each["rows"]),
                output.size(each["bytes"]),
                output.when(each["loaded_at"]),
            )
            for each in found
        ),
        ["dataset", "snapshot", "rows", "size", "loaded"],
        "No datasets yet. A pipeline's `load` step makes one.",
    )


@click.group()
def snapshots() -> None:
    """List a dataset's snapshots, look at one, save it as a file."""


@snapshots.command("list")
@click.argument("dataset")
@output.limit(default=20)
@output.command
def list_snapshots(client: Client, *, dataset: str, limit: int, as_json: bool) -> None:
    """The newest first."""
    answer = client.page(at("datasets", dataset, "snapshots"), limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["number"],
                each["mode"],
                output.amount(each["rows"]),
                output.size(each["bytes"]),
                output.when(each["created_at"]),
                each["reason"],
            )
            for each in answer["results"]
        ),
        ["snapshot", "mode", "rows", "size", "created", "reason"],
        "No snapshots yet. They are added by runs.",
    )


@snapshots.command()
@click.argument("dataset")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--rows", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many rows to show.")
@output.command
def show(client: Client, *, dataset: str, number: int, rows: int, as_json: bool) -> None:
    """One snapshot: its schema and first rows."""
    path = at("datasets", dataset, "snapshots", number)
    found = client.in_project("GET", path)
    if as_json:
        output.print_json(found)
        return
    output.pairs(
        [
            ("snapshot", f"{found['dataset']}@{found['number']}"),
            ("rows", output.amount(found["rows"])),
            ("size", output.size(found["bytes"])),
            ("files", found["files"]),
            ("created", output.when(found["created_at"])),
            ("by run", found["created_by_run"]),
        ]
    )
    click.echo()
    output.table(((each["name"], each["type"]) for each in found["schema"]), ["column", "type"], "No columns.")
    click.echo()
    show_rows(client.in_project("GET", f"{path}preview/", params={"limit": rows}))


@snapshots.command()
@click.argument("dataset")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@output.command
def export(client: Client, *, dataset: str, number: int, form: str, target: Path | None, as_json: bool) -> None:
    """Save a snapshot as a file; in CSV, cells that a spreadsheet would run as formulas are made harmless."""
    target = target or Path(f"{dataset}-{number}.{form}")
    if target.exists():
        output.stop(f"{target} exists already; name another file with -o.", output.USAGE)
    written = client.download(at("datasets", dataset, "snapshots", number, "download"), target, format=form)
    output.print_json({"file": str(target), "bytes": written}) if as_json else click.echo(
        f"{target}  {output.size(written)}"
    )
