"""The check step: every rule looks at the input as it came; then rows are set aside, or the run is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import duckdb
from pydantic import Field, StringConstraints

from dataplane.checks.outcome import CheckFailed, Outcome
from dataplane.checks.quarantine import set_aside
from dataplane.checks.rules import Rule
from dataplane.checks.running import Check
from dataplane.steps.base import DatasetInput, Spec, StepContext, StepKind, StepResult, Table
from dataplane.steps.operating import operating

REFERENCES = "references."


class CheckSpec(Spec):
    """The table to look at, and the rules, in the order in which their outcomes are shown."""

    input: Annotated[str, StringConstraints(min_length=1)] | DatasetInput
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=500)]


class CheckStep(StepKind):
    """Runs the rules over `input`; the tables that foreign keys refer to are inputs named `references.<step>`.

    Without rows to set aside, the input's own files are handed on. Raises CheckFailed, with the outcomes of all rules,
    when one that stops the run has failed. facts: `warned` when any rule has failed, `quarantined` rows.
    """

    kind = "check"
    Spec = CheckSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        named: dict[str, Any] = {"input": spec.input}
        for rule in spec.rules:
            if rule.foreign_key is not None:
                named[f"{REFERENCES}{rule.foreign_key.step}"] = rule.foreign_key.step
        return named

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        table = context.inputs["input"]
        with operating(context) as (connection, _):
            return _checked(connection, context, spec.rules, table)


def _checked(
    connection: duckdb.DuckDBPyConnection, context: StepContext, rules: Sequence[Rule], table: Table
) -> StepResult:
    references = {
        name.removeprefix(REFERENCES): each for name, each in context.inputs.items() if name.startswith(REFERENCES)
    }
    check = Check(connection, table, context.storage, references, f"steps.{context.key}.check")

    def done(count: int) -> None:
        context.progress.fraction = count / (len(rules) + 1)
        context.progress.detail = f"{count} of {len(rules)} rules"

    outcomes = check.run(rules, done)
    shown = [each.as_json() for each in outcomes]
    failed = [each for each in outcomes if not each.passed]
    if any(each.rule.action == "stop" for each in failed):
        raise CheckFailed(shown, table.rows)
    kept = _kept(check, context, failed)
    context.progress.rows, context.progress.fraction = table.rows, 1.0
    return StepResult(
        table=kept,
        rows_in=table.rows,
        checks=shown,
        facts={"warned": bool(failed), "quarantined": sum(each.rows for each in kept.rejected)},
    )


def _kept(check: Check, context: StepContext, failed: Sequence[Outcome]) -> Table:
    """The table that goes on: the input's own files, or new ones without the rows that were set aside."""
    refused = [each for each in failed if each.rule.action == "quarantine"]
    if not refused:
        return Table(check.table.columns, check.table.files, origins=check.table.origins)
    context.progress.detail = "setting rows aside"
    return set_aside(check, refused, context.storage, context.output)
