"""`manifold sources history`: what became of the rows of each stream in each run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from manifold.cli import output
from manifold.client import Client, at

STATES = ["succeeded", "failed", "cancelled", "timed_out", "skipped"]


@click.command()
@click.argument("slug", required=False)
@click.option("--stream", help="Of this stream only.")
@click.option("--pipeline", help="Of runs of this pipeline only.")
@click.option("--run", metavar="RUN", help="Of this run only.")
@click.option("--state", multiple=True, type=click.Choice(STATES), help="What ended so only; may be repeated.")
@click.option("--since", help="Not before this time, 2026-01-31T00:00:00Z.")
@click.option("--until", help="Before this time.")
@click.option("--rows-min", type=click.IntRange(0), metavar="N", help="At least so many rows were fetched.")
@click.option("--rows-max", type=click.IntRange(0), metavar="N", help="At most so many rows.")
@click.option("--bytes-min", type=click.IntRange(0), metavar="N", help="At least so many bytes.")
@click.option("--bytes-max", type=click.IntRange(0), metavar="N", help="At most so many bytes.")
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to write.")
@output.limit(default=30)
@output.command
def history(client: Client, *, slug: str | None, target: Path | None, limit: int, as_json: bool, **asked: Any) -> None:
    """What became of the rows of each stream in each run, of a source or of all; `-o` saves everything as CSV."""
    place = at("sources", slug, "history") if slug else at("history")
    given = {name: value for name, value in asked.items() if value not in (None, ())}
    if target is not None:
        _save(client, place, target, given, as_json)
        return
    answer = client.page(place, limit, **given)
    if as_json:
        output.print_json(answer)
        return
    counts = ("fetched", "inserted", "updated", "skipped", "quarantined", "used")
    output.table(
        (
            (
                output.when(each["at"]),
                each["source"],
                each["stream"],
                each["state"],
                *(output.amount(each[name]) for name in counts),
                output.size(each["bytes"]),
                output.seconds(each["seconds"]),
                (each["error"] or {}).get("message", ""),
            )
            for each in answer["results"]
        ),
        ["at", "source", "stream", "state", *counts, "size", "time", ""],
        "Nothing was read yet, or nothing that fits. `manifold run PIPELINE` reads.",
    )


def _save(client: Client, place: str, target: Path, given: dict[str, Any], as_json: bool) -> None:
    if target.exists():
        output.stop(f"{target} exists already; name another file with -o.", output.USAGE)
    written = client.download(f"{place}export/", target, **given)
    output.print_json({"file": str(target), "bytes": written}) if as_json else click.echo(
        f"{target}  {output.size(written)}"
    )
