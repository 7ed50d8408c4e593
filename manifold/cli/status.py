"""`manifold status` answers: is my data current?"""

from __future__ import annotations

import sys

import click

from manifold.cli import output
from manifold.client import Client


@click.command()
@output.command
def status(client: Client, *, as_json: bool) -> None:
    """Last good run, pending files, each dataset's age, health and advice; status 3 when something is wrong."""
    answer = client.in_project("GET", "status/")
    if as_json:
        output.print_json(answer)
    else:
        good, last = answer["last_good_run"], answer["last_run"]
        output.pairs(
            [
                ("health", "healthy" if answer["healthy"] else "error"),
                ("last good run", f"{good['pipeline']} at {output.when(good['finished_at'])}" if good else "none yet"),
                ("last run", f"{last['pipeline']} {last['state']}" if last else "none yet"),
                ("pending files", answer["pending_files"]),
            ]
        )
        click.echo()
        output.table(
            (
                (
                    each["dataset"],
                    output.amount(each["rows"]),
                    output.ago(each["age_s"]),
                    each["state"] if each["age_s"] is not None or not each["fresh"] else "not loaded yet",
                )
                for each in answer["datasets"]
            ),
            ["dataset", "rows", "age", ""],
            "No datasets yet.",
        )
        click.echo()
        output.table(
            ((each["name"], "up" if each["up"] else "down", each["detail"]) for each in answer["components"]),
            ["component", "", "detail"],
            "",
        )
        for each in answer["advice"]:
            click.echo(f"→ {each}")
    if not answer["healthy"]:
        sys.exit(output.UNHEALTHY)
