"""`manifold sources cost`: what a source used this month, at its prices, against its budget."""

from __future__ import annotations

from typing import Any

import click

from manifold.cli import output
from manifold.client import Client, at


@click.command()
@click.argument("slug")
@click.option("--currency", metavar="CODE", help="Three capital letters: EUR.")
@click.option("--per-call", metavar="PRICE", help="Price of one request over HTTP.")
@click.option("--per-gb-read", metavar="PRICE", help="Price of a gigabyte that is read.")
@click.option("--per-gb-month", metavar="PRICE", help="Price of a gigabyte that is kept for a month.")
@click.option("--budget", metavar="AMOUNT", help="For a month; `none` for none.")
@output.command
def cost(client: Client, *, slug: str, as_json: bool, **wanted: str | None) -> None:
    """What a source used and cost this month; an option sets a price or the budget (needs the role Admin)."""
    given = {name: None if value == "none" else value for name, value in wanted.items() if value is not None}
    place = at("sources", slug, "cost")
    found = client.in_project("PUT", place, json=given) if given else client.in_project("GET", place)
    output.print_json(found) if as_json else _show(found)


def _show(found: dict[str, Any]) -> None:
    money = found["currency"]
    output.pairs(
        [
            ("month", found["month"]),
            ("requests", f"{output.amount(found['calls'])} for {found['cost']['calls']} {money}"),
            ("read", f"{output.size(found['bytes_read'])} for {found['cost']['read']} {money}"),
            ("kept", f"{output.size(found['bytes_kept'])} for {found['cost']['kept']} {money} a month"),
            ("cost", f"{found['cost']['total']} {money}, about {found['forecast']} at its end"),
            ("budget", f"{found['budget']} {money}, {found['state']}" if found["budget"] else "none"),
        ]
    )
