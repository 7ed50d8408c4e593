"""`manifold files`: what has become of the files that a pipeline reads."""

from __future__ import annotations

import click

from manifold.cli import output
from manifold.client import Client, at


@click.command()
@click.argument("pipeline")
@click.option("--step", default="", help="Only of this step.")
@click.option("--state", default="", help="Only in this state, such as pending, processed, failed, ignored or changed.")
@output.limit(default=200)
@output.command
def files(client: Client, *, pipeline: str, step: str, state: str, limit: int, as_json: bool) -> None:
    """What has become of each file, for every step of PIPELINE that reads only what is new.

    It is told as the last run has found them; a dry run looks anew, and keeps nothing.
    """
    wanted = {"step": step, "state": state, "limit": limit}
    answer = client.in_project("GET", at("pipelines", pipeline, "files"), params=wanted)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["path"],
                each["state"],
                each["file_date"],
                each["step"],
                output.size(each["size"]),
                output.when(each["modified"]),
                output.plain(each["reason"]),
            )
            for each in answer["results"]
        ),
        ["file", "state", "date", "step", "size", "changed", ""],
        "No such file has been seen yet. A run looks for them, and `manifold run PIPELINE --dry-run` does.",
    )
