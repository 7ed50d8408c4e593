"""The `manifold` command. A command's module is imported when it is called, so that each starts quickly."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from manifold import environment

# Where each command is: module and name in it.
COMMANDS = {
    "up": "manifold.cli.up:up",
    "demo": "manifold.cli.demo:demo",
    "doctor": "manifold.cli.doctor:doctor",
    "backup": "manifold.cli.backup:backup",
    "restore": "manifold.cli.backup:restore",
    "status": "manifold.cli.status:status",
    "run": "manifold.cli.runs:run",
    "runs": "manifold.cli.runs:runs",
    "backfill": "manifold.cli.backfills:backfill",
    "backfills": "manifold.cli.backfills:backfills",
    "apply": "manifold.cli.pipelines:apply",
    "export": "manifold.cli.pipelines:export",
    "validate": "manifold.cli.pipelines:validate",
    "clone": "manifold.cli.pipelines:clone",
    "pause": "manifold.cli.pipelines:pause",
    "resume": "manifold.cli.pipelines:resume",
    "files": "manifold.cli.files:files",
    "schedules": "manifold.cli.schedules:schedules",
    "retries": "manifold.cli.retries:retries",
    "hooks": "manifold.cli.hooks:hooks",
    "sources": "manifold.cli.sources:sources",
    "datasets": "manifold.cli.datasets:datasets",
    "snapshots": "manifold.cli.datasets:snapshots",
    "freshness": "manifold.cli.freshness:freshness",
    "sql": "manifold.cli.sql:sql",
    "queries": "manifold.cli.sql:queries",
    "projects": "manifold.cli.members:projects",
    "members": "manifold.cli.members:members",
    "users": "manifold.cli.users:users",
    "sessions": "manifold.cli.people:sessions",
    "audit": "manifold.cli.people:audit",
    "tokens": "manifold.cli.people:tokens",
}

OURS = ("manifold", "apps", "dataplane")


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports only the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """What fails is one sentence, a mistake of ours, too; MANIFOLD_LOG_LEVEL=debug shows where that is."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:
            if os.environ.get(environment.LOG_LEVEL.name) == "debug":
                raise
            click.echo(f"manifold: {_told(error)}", err=True)
            ctx.exit(1)


def _told(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith(OURS):
        return (
            f"the package {error.name} is not installed. A newer Manifold needs its packages, too: run `make up`, "
            "or pip install --no-deps -r requirements/runtime.lock."
        )
    return (
        f"this should not have happened: {type(error).__name__}: {error}. "
        "Please report it with what MANIFOLD_LOG_LEVEL=debug shows."
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Manifold: sources, checked and versioned pipelines, immutable snapshots, audit."""
