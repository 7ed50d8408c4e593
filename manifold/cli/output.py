"""How a command speaks: aligned text for people, the API's JSON for programs, one exit code for each kind of end."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn, TypeVar

import click

from manifold.client import ApiError, Client, Unreachable

DONE, FAILED, USAGE, UNHEALTHY, UNREACHABLE = 0, 1, 2, 3, 4
COLOURS = {
    "succeeded": "green",
    "healthy": "green",
    "running": "cyan",
    "failed": "red",
    "timed_out": "red",
    "error": "red",
    "skipped": "yellow",
    "warned": "yellow",
    "cancelled": "yellow",
}

Command = TypeVar("Command", bound=Callable[..., Any])


def command(function: Command) -> Command:
    """Give a command `--json` and a connected client, and turn every refusal into a sentence and an exit code."""

    @click.option("--json", "as_json", is_flag=True, help="Print exactly what the API answers.")
    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            function(Client.from_environment(), *args, **options)
        except Unreachable as error:
            stop(str(error), UNREACHABLE)
        except ApiError as error:
            refuse(error, options.get("as_json", False))
        except OSError as error:
            stop(f"{error.filename or 'a file'}: {error.strerror}", USAGE)

    return wrapped  # type: ignore[return-value]


def refuse(error: ApiError, as_json: bool) -> NoReturn:
    """Print a problem of the API, each field on its own line, and leave with the fitting code."""
    if as_json:
        print_json(error.problem)
    else:
        click.echo(f"manifold: {error}", err=True)
        for each in error.problem.get("errors") or []:
            place = each.get("path") or each.get("field") or ""
            line = f" (line {each['line']})" if each.get("line") else ""
            remedy = f" {each['remedy']}" if each.get("remedy") else ""
            click.echo(f"  {place}{line}: {each.get('message', '')}{remedy}", err=True)
    if error.status in (401, 403, 503):
        sys.exit(UNREACHABLE)
    sys.exit(USAGE if error.status in (400, 404, 405, 415, 422) else FAILED)


def stop(sentence: str, code: int) -> NoReturn:
    click.echo(f"manifold: {sentence}", err=True)
    sys.exit(code)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Iterable[Sequence[Any]], heads: Sequence[str], empty: str) -> None:
    """Aligned columns; numbers to the right; `empty` says what to do first when there is no row."""
    kept = [[_cell(value) for value in row] for row in rows]
    if not kept:
        click.echo(empty)
        return
    right = [all(_is_number(row[index]) for row in kept) for index in range(len(heads))]
    widths = [max(len(head), *(len(row[index]) for row in kept)) for index, head in enumerate(heads)]
    click.secho("  ".join(_pad(head, widths[i], right[i]) for i, head in enumerate(heads)).rstrip(), dim=True)
    for row in kept:
        cells = [_paint(_pad(value, widths[i], right[i]), value) for i, value in enumerate(row)]
        click.echo("  ".join(cells).rstrip())


def pairs(values: Iterable[tuple[str, Any]]) -> None:
    """Labelled lines, for one thing."""
    kept = [(label, _cell(value)) for label, value in values if value not in (None, "", [])]
    width = max((len(label) for label, _ in kept), default=0)
    for label, value in kept:
        click.echo(f"{click.style(label.ljust(width), dim=True)}  {_paint(value, value)}")


def show_error(error: dict[str, Any]) -> None:
    """An error as a person reads it: the sentence, the evidence, what to do."""
    click.secho(error["message"], fg="red")
    for name, value in (error.get("evidence") or {}).items():
        if isinstance(value, (str, int, float)):
            click.echo(f"  {name.replace('_', ' ')}: {value}")
    for each in error.get("suggestions") or []:
        click.echo(f"  → {each['title']}: {each['effect']}")


def when(text: str | None) -> str:
    """A time of the API (RFC 3339, UTC) in this terminal's zone, which is named."""
    if not text:
        return "–"
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def ago(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    if value is None:
        return "–"
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value).replace("\n", " ")


def _is_number(text: str) -> bool:
    return text == "–" or text.replace(",", "").replace(".", "", 1).removeprefix("-").isdigit()


def _pad(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _paint(shown: str, value: str) -> str:
    return click.style(shown, fg=COLOURS[value]) if value in COLOURS else shown
