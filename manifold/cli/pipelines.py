"""Pipelines as files: `apply`, `export`, `validate`, `clone`; and whether they may run: `pause`, `resume`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apps.pipelines.document import parse
from manifold.cli import output
from manifold.client import Client, at


@click.command()
@click.option(
    "-f", "--file", "file", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The document."
)
@click.option("--publish", is_flag=True, help="Publish it at once (needs the role Admin).")
@output.command
def apply(client: Client, *, file: Path, publish: bool, as_json: bool) -> None:
    """Write a document as its pipeline's draft; create the pipeline if there is none."""
    answer = client.in_project("POST", "pipelines/apply/", json={"text": output.document(file), "publish": publish})
    if as_json:
        output.print_json(answer)
        return
    state = (
        f"published as version {answer['published_version']}"
        if publish
        else "saved as draft; publish it with --publish"
    )
    click.echo(f"{answer['slug']}: {state}")


@click.command()
@click.argument("pipeline")
@output.command
def export(client: Client, *, pipeline: str, as_json: bool) -> None:
    """Print a pipeline's document: its draft if there is one, else what is published."""
    answer = client.in_project("GET", at("pipelines", pipeline))
    output.print_json(answer) if as_json else click.echo(answer["text"], nl=False)


@click.command()
@click.argument("pipeline")
@click.option("--reason", default="", help="Why; it is shown with the pipeline and kept in the audit log.")
@output.command
def pause(client: Client, *, pipeline: str, reason: str, as_json: bool) -> None:
    """Let no new run of PIPELINE begin until it is resumed; the one that runs goes on."""
    answer = client.in_project("POST", at("pipelines", pipeline, "pause"), json={"reason": reason})
    output.print_json(answer) if as_json else click.echo(f"{answer['slug']}: paused by {answer['paused_by']}")


@click.command()
@click.argument("pipeline")
@output.command
def resume(client: Client, *, pipeline: str, as_json: bool) -> None:
    """Let runs of PIPELINE begin again, the oldest pending one at once."""
    answer = client.in_project("POST", at("pipelines", pipeline, "resume"))
    output.print_json(answer) if as_json else click.echo(f"{answer['slug']}: resumed")


@click.command()
@click.argument("pipeline")
@click.argument("new")
@click.option("--dataset", "datasets", multiple=True, metavar="OLD=NEW", help="What a dataset is called in it.")
@output.command
def clone(client: Client, *, pipeline: str, new: str, datasets: tuple[str, ...], as_json: bool) -> None:
    """Make a draft of a pipeline NEW with the steps of PIPELINE, which loads datasets of its own."""
    wrong = next((each for each in datasets if "=" not in each), None)
    if wrong is not None:
        output.stop(f"{wrong!r} is no OLD=NEW.", output.USAGE)
    names = dict(each.split("=", 1) for each in datasets)
    answer = client.in_project("POST", at("pipelines", pipeline, "clone"), json={"slug": new, "datasets": names})
    output.print_json(answer) if as_json else click.echo(f"{answer['slug']}: saved as draft; look at it and publish it")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the errors as JSON.")
def validate(file: Path, as_json: bool) -> None:
    """Check a document without a server: keys, steps, inputs, cycles, rules."""
    _, errors = parse(output.document(file))
    if as_json:
        output.print_json({"valid": not errors, "errors": [each.as_json() for each in errors]})
    elif errors:
        for each in errors:
            place = f"{file}:{each.line}:{each.column}:" + (f" {each.path}:" if each.path else "")
            click.echo(output.plain(f"{place} {each.message} {each.remedy}".rstrip()), err=True)
    else:
        click.echo(f"{file}: valid")
    sys.exit(output.FAILED if errors else output.DONE)
