"""The table of docs/command.md, made from the commands; `make docs` renews it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from manifold.cli import main

HEAD = "## Commands\n"


def as_markdown() -> str:
    """Every command with its arguments, its options and what it does. Options that all have are left out."""
    lines = ["| command | does |", "|---|---|"]
    lines += [f"| `{usage}` | {does} |" for usage, does in _commands(main, ("manifold",))]
    return "\n".join(lines) + "\n"


def renewed(text: str) -> str:
    """A page whose last part, below the heading *Commands*, is the table."""
    return text[: text.index(HEAD)] + HEAD + "\n" + as_markdown()


def _commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    with click.Context(command) as context:
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from _commands(found, (*words, name))
            return
        pieces = [piece for each in command.params if (piece := _piece(each, context))]
        yield " ".join([*words, *pieces]).replace("|", "\\|"), _sentence(command)


def _piece(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(context)
    if not isinstance(parameter, click.Option) or parameter.name in ("as_json", "help"):
        return ""
    value = "" if parameter.is_flag else f" {_value(parameter, context)}"
    piece = f"{parameter.opts[0]}{value}{' …' if parameter.multiple else ''}"
    return piece if parameter.required else f"[{piece}]"


def _value(option: click.Option, context: click.Context) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(option.type.choices)
    return option.metavar or {"integer": "N", "integer range": "N"}.get(option.type.name, option.type.name.upper())


def _sentence(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n", maxsplit=1)[0].split())


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
