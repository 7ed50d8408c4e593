"""A load into a table of a destination: the rows are written there, and nothing but what was set aside stays here."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from dataplane.connectors.base import Connector
from dataplane.connectors.destination import Destination, Load, Loaded, Rows, Watch
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, TransientError
from dataplane.failures import duckdb_errors
from dataplane.relations import relation_sql
from dataplane.steps.adopting import adopt
from dataplane.steps.base import StepContext, StepResult, Table
from dataplane.steps.keys import refuse_bad_keys, resolved
from dataplane.steps.watching import watched


def load(context: StepContext) -> StepResult:
    """Write the input into the destination.

    extras: `connector`, `load` (a `Load`), `passed` (see `Watch`). The fact `loaded` is a `Loaded`, `waited` the
    seconds in which others were in the way; the table of the result has no file but those of rows that were set aside.
    Raises ManifoldError.
    """
    table = context.inputs["input"]
    wanted: Load = context.extras["load"]
    done = _written(context, table, wanted)
    rejected = adopt(context, table.rejected)
    rows = done.inserted + done.updated if done.status == "loaded" else 0
    facts = {"loaded": done, "waited": round(context.progress.waited, 3)}
    return StepResult(table=Table(table.columns, rejected=rejected), rows_in=table.rows, rows_out=rows, facts=facts)


def destination_of(connector: Connector, slug: str) -> Destination:
    """The connector as a destination. Raises ConfigurationError for one that only reads."""
    if not isinstance(connector, Destination):
        raise ConfigurationError(
            f"The source `{slug}` is read by {connector.title}, which cannot write. Choose another destination.",
            code="destination_cannot_write",
            evidence={"destination": slug, "connector": connector.key},
        )
    return connector


def _written(context: StepContext, table: Table, wanted: Load) -> Loaded:
    connector: Connector = context.extras["connector"]
    destination = destination_of(connector, context.extras["destination"])
    with (
        connector_instance(
            extensions=connector.extensions, memory=context.memory, threads=context.threads, spill=context.spill
        ) as connection,
        watched(context, connection) as share,
        duckdb_errors(),
    ):
        if wanted.mode == "merge":
            wanted = replace(wanted, by=resolved(wanted.by, table.columns, None, wanted.table))
            share.next(0.2)
            refuse_bad_keys(connection, context.storage, table, wanted.by)
        share.next(0.8)
        rows = Rows(connection, relation_sql(table, context.storage), table.columns, table.rows)
        done = destination.load(wanted, rows, _watch(context))
        _go_on(context)
    if done.status == "overtaken":
        raise TransientError(
            f"Another execution of this step, which began later, has loaded into {wanted.table} meanwhile. Nothing was "
            "changed.",
            code="overtaken",
            evidence={"table": wanted.table},
        )
    return done


def _watch(context: StepContext) -> Watch:
    progress = context.progress

    def wait(sentence: str) -> None:
        if progress.waits_since is None:
            progress.detail, progress.waits_since = sentence, datetime.now(UTC)
            context.log.say(sentence)
            progress.show()

    def passed(place: str) -> None:
        _go_on(context)
        context.extras["passed"](place)

    def wrote(rows: int) -> None:
        progress.rows = rows

    return Watch(passed, wait, wrote, context.on_cancel)


def _go_on(context: StepContext) -> None:
    """Nobody is in the way any more: count for how long somebody was."""
    progress = context.progress
    if progress.waits_since is not None:
        seconds = (datetime.now(UTC) - progress.waits_since).total_seconds()
        progress.detail, progress.waits_since, progress.waited = "", None, progress.waited + seconds
        context.log.say(f"Nobody is in the way any more; it waited {seconds:.1f} s.", waited_s=round(seconds, 3))
        progress.show()
