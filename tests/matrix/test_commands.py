"""Every command that speaks to a server, for everybody, as the table says."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click
import pytest

from manifold.cli import main
from manifold.client import ApiError
from tests.furnished import DOCUMENT, ORDERS
from tests.matrix.tables import COMMANDS, PEOPLE, parsed
from tests.served import Served, served  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db

ROWS = parsed(COMMANDS)
OPPOSITE = {"pause": "resume", "resume": "pause"}
# These work without a server, or are one.
ALONE = {"up", "demo", "doctor", "validate", "backup", "restore"}


def commands(group: click.Group, before: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The words of every command there is."""
    found: set[tuple[str, ...]] = set()
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            words = (*before, name)
            found |= commands(command, words) if isinstance(command, click.Group) else {words}
    return found


def test_every_command_has_a_row() -> None:
    there = {words for words in commands(main) if words[0] not in ALONE}
    assert there == {words for row, _ in ROWS for words in (tuple(row[:1]), tuple(row[:2])) if words in there}


@pytest.mark.parametrize(("words", "says"), ROWS, ids=[" ".join(words) for words, _ in ROWS])
def test_each_may_do_what_the_table_says(served: Served, words: list[str], says: dict[str, str]) -> None:  # noqa: F811
    made, values = served.made, served.made.values
    file = made.folder / "orders.yaml"
    file.write_text(DOCUMENT.replace("title: Orders", "title: My orders"))
    real = {
        "SUCCEEDED": str(made.succeeded.pk),
        "CANCELLED": str(made.cancelled.pk),
        "BACKFILL": values["backfills"],
        "HOOK": values["hooks"],
        "ASKING": str(made.asking.pk),
        "DOCUMENT": str(file),
        "DROP": str(made.folder / "drop"),
        "TOKEN": values["tokens"],
        "INVITATION": values["invitations"],
    }
    got = {}
    for who in PEOPLE:
        if "RUNNING" in words:
            real["RUNNING"] = served.client().in_project("POST", "pipelines/orders/runs/", json={})["id"]
        if words[0] in OPPOSITE:
            turn(served, OPPOSITE[words[0]])
        real["FILE"] = str(made.folder / f"{words[0]}-{who}.csv")
        real["NEW"] = f"{words[0]}-{who}"
        real["COPY"] = f"copy-{who}"
        real["ORDERS"] = str(made.folder / f"orders-{who}.csv")
        Path(real["ORDERS"]).write_text(ORDERS)
        result = served.manifold(
            *[real.get(each, each.replace("=DROP", f"={real['DROP']}")) for each in words], who=who
        )
        got[who] = str(result.exit_code)
        assert result.exit_code in (0, 3) or result.stderr.startswith("manifold: "), result.output
    if words[0] in OPPOSITE:
        turn(served, "resume")
    assert got == says


def turn(served: Served, how: str) -> None:  # noqa: F811
    """Pause the pipeline or let it go on; it may be so already."""
    with suppress(ApiError):
        served.client().in_project("POST", f"pipelines/orders/{how}/")
