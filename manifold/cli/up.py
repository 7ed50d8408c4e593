"""`manifold up` starts the whole platform under one parent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from manifold.environment.setting import SettingError, data_folder
from manifold.supervisor.home import StartError
from manifold.supervisor.platform import Options, Platform


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Data folder. Unset: MANIFOLD_HOME, else .manifold.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the console and the API; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="Steps that run at the same time.")
def up(home: Path | None, port: int | None, workers: int | None) -> None:
    """Start everything, print the address and, the first time, the administrator's password; Ctrl-C stops it."""
    sys.exit(start(Options(home or data_folder(), port, workers)))


def start(options: Options) -> int:
    """Run the platform until it is stopped. What keeps it from starting is told in a sentence; the status is 1."""
    try:
        return Platform(options, say).run()
    except (StartError, SettingError) as error:
        click.echo(f"Manifold cannot start. {error}", err=True)
        return 1


def say(text: str) -> None:
    """A line for the person at the terminal, at once even into a pipe; nobody may be listening any more."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
