"""`manifold sources impact`: what breaks if a source goes down."""

from __future__ import annotations

import click

from manifold.cli import output
from manifold.client import Client, at


@click.command()
@click.argument("slug")
@output.command
def impact(client: Client, *, slug: str, as_json: bool) -> None:
    """What breaks if a source goes down: pipelines, datasets and tables that depend on it."""
    found = client.in_project("GET", at("sources", slug, "impact"))
    if as_json:
        output.print_json(found)
        return
    how = {True: "reads it", False: "reads what comes from it"}
    rows = [("pipeline", each["pipeline"], how[each["direct"]]) for each in found["pipelines"]]
    rows += [("pipeline", each["pipeline"], f"writes its table {each['table']}") for each in found["written"]]
    for each in found["datasets"]:
        due = f"{each['state']}, due {output.when(each['due_at'])}" if each["state"] else ""
        rows.append(("dataset", each["dataset"], due))
    rows += [("table", each["table"], f"in {each['destination']}") for each in found["tables"]]
    output.table(rows, ["what", "name", ""], f"Nothing depends on {slug}.")
