"""`manifold demo`: the platform, the examples, and one story told with them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from manifold.cli.up import start
from manifold.demo.story import tell
from manifold.environment.setting import data_folder
from manifold.supervisor.platform import Options


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Data folder. Unset: MANIFOLD_HOME, else .manifold.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the console and the API; 0 takes a free one.")
@click.option("--exit", "leave", is_flag=True, help="Stop when the runs are done; status 0 if they were good.")
def demo(home: Path | None, port: int | None, leave: bool) -> None:
    """Start everything, run the examples on real data, print the result, and stay up."""
    options = Options(home or data_folder(), port, companion=tell, exit_with_companion=leave)
    sys.exit(start(options))
