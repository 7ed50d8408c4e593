"""Questions to the data: `manifold sql`, and `manifold queries` for what was run and what is kept."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import click

from manifold.cli import output
from manifold.client import ApiError, Client, Unreachable, at

FORMATS = ["csv", "parquet", "json", "ndjson"]
TYPES = ["text", "integer", "number", "boolean", "date", "timestamp"]


class ParameterType(click.ParamType):
    """`name=value`, or `name:type=value`."""

    name = "NAME[:TYPE]=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        left, equals, right = str(value).partition("=")
        name, colon, kind = left.partition(":")
        if not (equals and name) or (colon and kind not in TYPES):
            self.fail(
                f"{value!r} is not NAME=VALUE or NAME:TYPE=VALUE, with TYPE one of {', '.join(TYPES)}.", param, ctx
            )
        return {"name": name, "value": right} | ({"type": kind} if colon else {})


given = click.option(
    "--param",
    "parameters",
    multiple=True,
    type=ParameterType(),
    help="A value for `$name`; its type is text unless it is named, or that of the saved query.",
)


@click.command()
@click.argument("query", required=False)
@click.option("--saved", metavar="NAME", help="Run a saved query instead.")
@given
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Rows of a table.")
@click.option("--format", "form", type=click.Choice(["table", *FORMATS]), default="table", show_default=True)
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@output.command
def sql(
    client: Client,
    *,
    query: str | None,
    saved: str | None,
    parameters: tuple[dict[str, str], ...],
    limit: int,
    form: str,
    target: Path | None,
    as_json: bool,
) -> None:
    """Run one read-only SELECT over the project's datasets; flights@3 names a snapshot. Ctrl-C stops it.

    As csv, parquet, json or ndjson (one JSON object a line) the whole answer is written, however long, to a file or to
    standard output.
    """
    if (query is None) == (saved is None):
        output.stop("name a query: either its text or --saved NAME.", output.USAGE)
    _fitting(form, target, as_json=as_json)
    asked = {"sql": query} if saved is None else {"saved": saved}
    # Of an answer that is downloaded only the columns have to be known before.
    answer = _ask(client, {**asked, "parameters": parameters, "limit": limit if form == "table" else 1})
    if as_json:
        output.print_json(answer)
    elif form == "table":
        show_rows(answer)
    else:
        _write(client, answer["id"], form, target)


@click.group()
def queries() -> None:
    """What was run, by whom and how it ended; and the queries that the project keeps."""


@queries.command("list")
@click.option("--user", help="Only those of one person.")
@click.option("--state", type=click.Choice(["running", "succeeded", "failed", "cancelled"]))
@output.limit(default=20)
@output.command
def list_queries(client: Client, *, user: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """The newest first."""
    answer = client.page("queries/", limit, user=user, state=state)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        (
            (
                each["id"],
                each["user"],
                each["state"],
                output.amount(each["row_count"]),
                output.seconds(each["seconds"]),
                output.when(each["created_at"]),
                " ".join(each["sql"].split())[:80],
            )
            for each in answer["results"]
        ),
        ["query", "who", "state", "rows", "took", "when", "sql"],
        "Nothing was asked yet. `manifold sql` runs a query.",
    )


@queries.command()
@click.argument("query")
@output.command
def cancel(client: Client, *, query: str, as_json: bool) -> None:
    """Stop a running query; it ends within a second."""
    answer = client.in_project("POST", at("queries", query, "cancel"))
    output.print_json(answer) if as_json else click.echo("The query is being stopped.")


@queries.command()
@output.command
def saved(client: Client, *, as_json: bool) -> None:
    """The queries that the project keeps, and the parameters they take."""
    found = list(client.each("saved-queries/"))
    if as_json:
        output.listed(found)
        return
    output.table(
        ((each["slug"], each["title"], each["owner"], _declared(each["parameters"])) for each in found),
        ["name", "title", "owner", "parameters"],
        "No query is saved yet. `manifold queries save` keeps one.",
    )


@queries.command()
@click.argument("title")
@click.argument("query")
@given
@output.command
def save(client: Client, *, title: str, query: str, parameters: tuple[dict[str, str], ...], as_json: bool) -> None:
    """Keep a query under a title. --param names the type of a `$name`, with its default or nothing after `=`."""
    declared = [
        {"name": each["name"], "type": each.get("type", "text"), "default": each["value"] or None}
        for each in parameters
    ]
    made = client.in_project("POST", "saved-queries/", json={"title": title, "sql": query, "parameters": declared})
    if as_json:
        output.print_json(made)
        return
    click.echo(f"{made['slug']}  run it with: manifold sql --saved {made['slug']}")


@queries.command()
@click.argument("name")
@output.command
def forget(client: Client, *, name: str, as_json: bool) -> None:
    """Delete a saved query; the history keeps what was run."""
    client.in_project("DELETE", at("saved-queries", name))
    output.print_json(None) if as_json else click.echo(f"{name} is deleted.")


def show_rows(answer: dict[str, Any]) -> None:
    """A result in the shape `query`, with a last line that says how much there was."""
    output.table(answer["rows"], [each["name"] for each in answer["columns"]], "No rows.")
    more = "; there are more" if answer["truncated"] else ""
    count = answer["row_count"]
    rows = "1 row" if count == 1 else f"{output.amount(count)} rows"
    click.secho(f"{rows} in {answer['seconds']:.2f} s{more}", dim=True, err=True)
    if answer.get("advice"):
        click.secho(answer["advice"], dim=True, err=True)


def _ask(client: Client, body: dict[str, Any]) -> Any:
    """The answer. Ctrl-C stops the query where it runs, not only the waiting for it."""
    own = str(uuid.uuid4())
    try:
        return client.in_project("POST", "queries/", json={"id": own, **body}, timeout=None)
    except KeyboardInterrupt:
        with contextlib.suppress(ApiError, Unreachable):
            client.in_project("POST", at("queries", own, "cancel"))
        output.stop("the query was stopped.", output.FAILED)


def _write(client: Client, query: str, form: str, target: Path | None) -> None:
    if target is not None:
        written = client.download(at("queries", query, "download"), target, format=form)
        click.echo(f"{target}  {output.size(written)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer"
        client.download(at("queries", query, "download"), file, format=form)
        with file.open("rb") as opened:
            shutil.copyfileobj(opened, sys.stdout.buffer)


def _fitting(form: str, target: Path | None, *, as_json: bool) -> None:
    if as_json and form != "table":
        output.stop("--json prints what the API answers; choose it or --format.", output.USAGE)
    if form == "table" and target is not None:
        output.stop("-o needs --format csv, parquet, json or ndjson.", output.USAGE)
    if form == "parquet" and target is None:
        output.stop("Parquet is no text; name a file with -o.", output.USAGE)
    if target is not None and target.exists():
        output.stop(f"{target} exists already; name another file with -o.", output.USAGE)


def _declared(parameters: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{each['name']}:{each['type']}" + ("" if each["default"] is None else f"={each['default']}")
        for each in parameters
    )
