"""`manifold backup` and `manifold restore`: one file with everything. They work without a server."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from manifold import environment
from manifold.backup import making, restoring
from manifold.backup.archive import Archive
from manifold.backup.errors import BackupError
from manifold.cli import output
from manifold.embedded.errors import EmbeddedError
from manifold.environment.setting import SettingError, data_folder
from manifold.supervisor.home import Home, StartError

T = TypeVar("T")

home_option = click.option(
    "--home", type=click.Path(path_type=Path), help="Data folder. Unset: MANIFOLD_HOME, else .manifold."
)
file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command()
@file_argument
@home_option
@click.option("--without-files", is_flag=True, help="List the data files with their digests, but leave them out.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def backup(file: Path, home: Path | None, without_files: bool, as_json: bool) -> None:
    """Write the database, the data files and, sealed with a passphrase, the keys into FILE, also while runs go on."""
    passphrase = _passphrase(confirm=True)
    place = _home(home)
    made = _told(lambda: making.make(place, file, passphrase=passphrase, files=not without_files, who=_who(), say=_say))
    if as_json:
        output.print_json({**vars(made), "file": str(made.file)})
        return
    kept = f"with {made.files} data files" if made.files_included else f"without its {made.files} data files"
    click.echo(
        f"{made.file}: {output.size(made.bytes)}, {kept}. Keep it apart from this machine, and so the passphrase."
    )


@click.command()
@file_argument
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print what was restored as JSON.")
def restore(file: Path, home: Path | None, as_json: bool) -> None:
    """Bring a backup back into an empty data folder; `manifold up` then goes on from there."""
    # A file that cannot be read is told before anybody has typed anything.
    _told(lambda: Archive(file).close())
    passphrase = _passphrase(confirm=False)
    place = _home(home)
    manifest = _told(lambda: restoring.restore(place, file, passphrase=passphrase, who=_who(), say=_say))
    if as_json:
        output.print_json({"home": str(place.path), "made_at": manifest["made_at"], "files": len(manifest["storage"])})
        return
    then = output.when(manifest["made_at"])
    click.echo(f"{place.path} is as it was at {then}. Start it: manifold up --home {place.path}")


def _home(named: Path | None) -> Home:
    """The data folder, which is also where the settings look for what an earlier start has left."""
    place = Home(named or data_folder())
    os.environ[environment.HOME.name] = str(place.path)
    return place


def _passphrase(*, confirm: bool) -> str:
    """From the environment, its file, or the person at the terminal."""
    given = environment.BACKUP_PASSPHRASE.read()
    if given:
        return given
    if not sys.stdin.isatty():
        output.stop(
            "No passphrase: set MANIFOLD_BACKUP_PASSPHRASE, or name its file in MANIFOLD_BACKUP_PASSPHRASE_FILE.",
            output.USAGE,
        )
    return str(click.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=confirm, err=True))


def _who() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # containers run as accounts without a name
        name = f"account {os.getuid()}"
    return f"{name} at the terminal"


def _told(work: Callable[[], T]) -> T:
    """What the work answers; what keeps it from being done is told in a sentence."""
    try:
        return work()
    except (BackupError, StartError, EmbeddedError, SettingError) as error:
        output.stop(str(error), output.FAILED)


def _say(text: str) -> None:
    click.echo(text, err=True)
