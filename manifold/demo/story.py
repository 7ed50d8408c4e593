"""What the demo does once the platform is up: everything through the API, as an operator or a program would."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from manifold import environment
from manifold.cli import output
from manifold.cli.datasets import show_rows
from manifold.client import ApiError, Client
from manifold.demo import data
from manifold.supervisor.platform import Platform

PIPELINES = ("flights", "weather")
ROLE = DATABASE = "manifold_demo"
DECEMBER = 12
MONTH = "SELECT 1 FROM flights WHERE month = {} LIMIT 1"
QUESTION = """
    SELECT airline, sum(flights) AS flights, sum(cancelled) AS cancelled,
           round(sum(on_time * flights) / sum(flights), 3) AS on_time
    FROM punctuality GROUP BY airline ORDER BY on_time DESC
"""


class DemoFailed(Exception):
    """The demo cannot go on; the text says why and what to do."""


def tell(platform: Platform) -> int:
    """Set the examples up, run them, and print what came of it. 0 if every run succeeded or had nothing to do."""
    client = Client.from_environment(platform.home.path)
    try:
        folder = environment.file_roots()[0] / "flights"
        data.drop_months(folder, data.MONTHS[:-1])
        reference = _reference(platform)
        data.fill_reference(reference)
        prepare(client, folder, reference)
        good = _runs(client, folder)
        _result(client, platform.url)
    except (DemoFailed, data.DemoDataMissing) as error:
        click.echo(f"The demo stopped: {error}", err=True)
        return output.FAILED
    except ApiError as error:
        click.echo(f"The demo stopped: {error}: {error.problem.get('errors') or ''}", err=True)
        return output.FAILED
    return output.DONE if good else output.FAILED


def _reference(platform: Platform) -> str:
    """The address of the demo's own database, as a role that is no superuser."""
    named = environment.DEMO_DATABASE_URL.read()
    if named:
        return named
    if platform.services.postgres is None:
        raise DemoFailed(
            "DATABASE_URL names a PostgreSQL of yours, in which the demo makes nothing by itself. "
            "Create an empty database and name it in MANIFOLD_DEMO_DATABASE_URL."
        )
    return platform.services.postgres.ensure_role(ROLE, platform.home.secret("demo_role"), DATABASE)


def prepare(client: Client, folder: Path, reference: str) -> None:
    """Add the sources, or bring them up to date, and publish the example pipelines."""
    _sources(client, folder, reference)
    _pipelines(client)


def _sources(client: Client, folder: Path, reference: str) -> None:
    place = urlsplit(reference)
    database = {
        "host": place.hostname,
        "port": place.port or 5432,
        "database": place.path.strip("/"),
        "user": unquote(place.username or ""),
        "password": unquote(place.password or ""),
    }
    _source(client, "flight-drop", "Flights, a file a month", "local_files", {"path": str(folder)})
    _source(client, "reference-db", "Reference tables", "postgresql", database)
    weather = "sources/reference-db/streams/public.weather/"
    client.in_project("PATCH", weather, json={"config": {"cursor": "time_hour"}})


def _source(client: Client, slug: str, title: str, connector: str, params: dict[str, Any]) -> None:
    """Add the source, or bring its parameters up to date; test it; find its streams."""
    body = {"title": title, "connector": connector, "params": params}
    try:
        client.in_project("PATCH", f"sources/{slug}/", json={"params": params})
    except ApiError as error:
        if error.status != 404:
            raise
        client.in_project("POST", "sources/", json={"slug": slug, **body})
    check = client.in_project("POST", f"sources/{slug}/test/")
    if not check["ok"]:
        failed = next(stage for stage in check["stages"] if not stage["ok"])
        raise DemoFailed(f"the source {slug} fails its test: {failed['error']['message']}")
    if next(client.each(f"sources/{slug}/streams/"), None) is None:
        found = client.in_project("POST", f"sources/{slug}/discover/")
        click.echo(f"Source {slug}: {', '.join(each['name'] for each in found['results'])}")


def _pipelines(client: Client) -> None:
    for name in PIPELINES:
        text = (data.EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
        client.in_project("POST", "pipelines/apply/", json={"text": text, "publish": True})


def _runs(client: Client, folder: Path) -> bool:
    """Run every example. Until December is loaded also show that a second run finds nothing, a third the new file."""
    ends = [_run(client, name) for name in PIPELINES]
    if not all(ends) or _loaded(client, DECEMBER):
        return all(ends)
    click.echo("\nOnce more: nothing has changed.")
    good = _run(client, "flights")
    click.echo("\nDecember arrives in the drop folder.")
    data.drop_months(folder, (DECEMBER,))
    return good & _run(client, "flights")


def _loaded(client: Client, month: int) -> bool:
    """Whether there are flights of this month. An earlier demo may have been cut off wherever it was."""
    return bool(client.in_project("POST", "queries/", json={"sql": MONTH.format(month)})["rows"])


def _run(client: Client, pipeline: str) -> bool:
    started = client.in_project("POST", f"pipelines/{pipeline}/runs/", json={"mode": "auto"})
    run = client.wait(started["id"], every=0.2)
    _say(run)
    return run["state"] in ("succeeded", "skipped")


def _say(run: dict[str, Any]) -> None:
    """A run in one line, and what its checks found below it."""
    rows = f"{output.amount(run['rows_read'])} rows read, {output.amount(run['rows_rejected'])} set aside"
    took = f" in {run['duration_s']:.1f} s" if run["duration_s"] else ""
    what = run["mode_reason"] if run["state"] == "skipped" else f"{rows}{took}. {run['mode_reason']}"
    colour = output.COLOURS.get(run["state"])
    click.echo(f"Run of {run['pipeline']}: {click.style(run['state'], fg=colour)}. {what}")
    for step in run["steps"]:
        for check in step.get("checks") or []:
            if not check["passed"]:
                found = f"{output.amount(check['failed_rows'])} of {output.amount(check['total_rows'])} rows"
                click.echo(f"  {check['action']}: {check['name']}: {found}")
    if run["error"]:
        output.show_error(run["error"])


def _result(client: Client, url: str) -> None:
    click.echo("\nWhat is kept:")
    output.table(
        (
            (each["slug"], each["head"], output.amount(each["rows"]), output.size(each["bytes"]))
            for each in client.each("datasets/")
        ),
        ["dataset", "snapshot", "rows", "size"],
        "nothing",
    )
    click.echo("\nWho was on time (at most 15 minutes late)?")
    show_rows(client.in_project("POST", "queries/", json={"sql": QUESTION}))
    click.echo(f"\nLook around: {url}    Ask: manifold status, manifold runs list, manifold sql 'SELECT …'")
