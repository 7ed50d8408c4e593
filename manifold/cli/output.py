"""How a command speaks: aligned text for people, the API's JSON for programs, one exit code for each kind of end."""

from __future__ import annotations

import functools
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from manifold.client import LARGEST_PAGE, ApiError, Client, Unreachable
from manifold.environment.setting import SettingError

DONE, FAILED, USAGE, UNHEALTHY, UNREACHABLE = 0, 1, 2, 3, 4
COLOURS = {
    "succeeded": "green",
    "healthy": "green",
    "fresh": "green",
    "running": "cyan",
    "failed": "red",
    "timed_out": "red",
    "error": "red",
    "stale": "red",
    "skipped": "yellow",
    "warned": "yellow",
    "warning": "yellow",
    "late": "yellow",
    "cancelled": "yellow",
}

# One page of the API, so that `--json` is what it answers.
limit = functools.partial(click.option, "--limit", type=click.IntRange(1, LARGEST_PAGE), show_default=True)

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
        except SettingError as error:
            stop(str(error), USAGE)
        except BrokenPipeError:
            raise  # Whoever reads has seen enough, as `head` does: click leaves without a word.
        except OSError as error:
            stop(f"{error.filename or 'a file'}: {error.strerror}", USAGE)

    return wrapped  # type: ignore[return-value]


def refuse(error: ApiError, as_json: bool) -> NoReturn:
    """Print a problem of the API, each field on its own line, and leave with the fitting code."""
    if as_json:
        print_json(error.problem)
    else:
        click.echo(f"manifold: {plain(str(error))}", err=True)
        for each in error.problem.get("errors") or []:
            line = f", line {each['line']}" if each.get("line") else ""
            place = f"{each.get('path') or each.get('field') or ''}{line}"
            remedy = f" {each['remedy']}" if each.get("remedy") else ""
            told = f"{place}: {each.get('message', '')}{remedy}".removeprefix(": ")
            if told != str(error):
                click.echo(f"  {plain(told)}", err=True)
        for each in error.problem.get("suggestions") or []:
            click.echo(f"  → {plain(each['title'])}: {plain(each['effect'])}", err=True)
    if error.status in (401, 403, 503):
        sys.exit(UNREACHABLE)
    sys.exit(USAGE if error.status in (400, 404, 405, 415, 422) else FAILED)


def document(file: Path) -> str:
    """The text of a file that somebody names. Leaves with a sentence where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        stop(f"{file} is not UTF-8 text: byte {error.start} does not fit. Save it as UTF-8.", USAGE)
    except OSError as error:
        stop(f"{file} cannot be read: {error.strerror}", USAGE)


def listed(rows: Iterable[dict[str, Any]]) -> None:
    """All rows of a list, as the API would show them on one page."""
    print_json({"results": list(rows), "next": None, "previous": None})


def stop(sentence: str, code: int) -> NoReturn:
    click.echo(f"manifold: {plain(sentence)}", err=True)
    sys.exit(code)


def plain(text: str, keep: str = "\n") -> str:
    """A text as it may reach a terminal: what would be a command to it (colours, the cursor, its title) is a space."""
    return "".join(each if each.isprintable() or each in keep else " " for each in text)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Iterable[Sequence[Any]], heads: Sequence[str], empty: str) -> None:
    """Aligned columns; numbers to the right; `empty` says what to do first when there is no row."""
    kept = [[_cell(value) for value in row] for row in rows]
    if not kept:
        click.echo(empty)
        return
    right = [all(_is_number(row[index]) for row in kept) for index in range(len(heads))]
    widths = [max(_width(head), *(_width(row[index]) for row in kept)) for index, head in enumerate(heads)]
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
    click.secho(plain(error["message"]), fg="red")
    for name, value in (error.get("evidence") or {}).items():
        if isinstance(value, (str, int, float)):
            click.echo(f"  {name.replace('_', ' ')}: {plain(str(value))}")
    for each in error.get("suggestions") or []:
        name = f" [{each['id']}]" if each["applicable"] else ""
        click.echo(f"  → {plain(each['title'])}: {plain(each['effect'])}{name}")


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
    """Bytes in powers of a thousand, as the console shows them."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
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
    return plain(str(value), keep="")


def _width(text: str) -> int:
    """Columns of a terminal: wide letters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _is_number(text: str) -> bool:
    return text == "–" or text.replace(",", "").replace(".", "", 1).removeprefix("-").isdigit()


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _paint(shown: str, value: str) -> str:
    return click.style(shown, fg=COLOURS[value]) if value in COLOURS else shown
