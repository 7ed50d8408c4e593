"""What a rule found, and the error of a check that stops the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dataplane.checks.rules import Rule
from dataplane.errors import DataError, Suggestion

SAMPLES = 20


@dataclass
class Outcome:
    """The `check` shape of the API, with what is kept beside it. `samples`: at most 20 of {file, row, values}."""

    rule: Rule
    position: int
    passed: bool
    failed_rows: int
    total_rows: int
    seconds: float
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def fraction(self) -> float:
        return self.failed_rows / self.total_rows if self.total_rows else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule.kind,
            "name": self.rule.title,
            "position": self.position,
            "columns": list(self.rule.columns),
            "definition": self.rule.written(),
            "action": self.rule.action,
            "passed": self.passed,
            "failed_rows": self.failed_rows,
            "total_rows": self.total_rows,
            "fraction": self.fraction,
            "samples": self.samples,
            "seconds": self.seconds,
        }


class CheckFailed(DataError):
    """A rule whose action is stop has failed. `outcomes` are those of every rule, in the document's order."""

    def __init__(self, outcomes: list[dict[str, Any]], rows: int) -> None:
        self.outcomes, self.rows = outcomes, rows
        failed = [each for each in outcomes if each["action"] == "stop" and not each["passed"]]
        first = failed[0]
        others = len(failed) - 1
        more = f" {others} more {'rules' if others > 1 else 'rule'} failed that stop the run." if others else ""
        super().__init__(
            f"The check {first['name']} failed: {found(first)}.{more}",
            code="check_failed",
            evidence={"rows": rows, "checks": failed},
            suggestions=_suggestions(first),
        )


def question(outcomes: list[dict[str, Any]]) -> str:
    """What a check asks a person whose rules with the action ask have failed; empty when none has."""
    failed = [each for each in outcomes if each["action"] == "ask" and not each["passed"]]
    if not failed:
        return ""
    more = len(failed) - 1
    others = f" {more} more {'rules ask' if more > 1 else 'rule asks'} the same." if more else ""
    return f"The check {failed[0]['name']} failed: {found(failed[0])}. Shall the run go on?{others}"


def found(outcome: dict[str, Any]) -> str:
    """What was found, in words, with the place of the first bad row."""
    total, bad = outcome["total_rows"], outcome["failed_rows"]
    if outcome["rule"] == "row_count":
        ends = outcome["definition"]["row_count"]
        wanted = " and ".join(
            f"at {word} {ends[key]:,}" for key, word in (("min", "least"), ("max", "most")) if key in ends
        )
        return f"the table has {total:,} rows and should have {wanted}"
    said = f"{bad:,} of {total:,} rows ({outcome['fraction']:.2%}) do not hold to it"
    if outcome["rule"] == "null_fraction":
        said = f"{bad:,} of {total:,} rows ({outcome['fraction']:.2%}) are NULL"
        return f"{said}, at most {outcome['definition']['null_fraction']['max']:.2%} may be"
    if outcome["samples"]:
        first = outcome["samples"][0]
        said += (
            f", the first in {first['file']}, row {first['row']}"
            if first["file"]
            else f", the first is row {first['row']}"
        )
    return said


def _suggestions(outcome: dict[str, Any]) -> list[Suggestion]:
    advice = [
        Suggestion("fix_source", "Correct the rows in the source", "The next run reads the same window again, once.")
    ]
    if outcome["rule"] not in ("row_count", "null_fraction"):
        advice.append(
            Suggestion(
                "quarantine",
                "Set the rows aside",
                "With `action: quarantine` good rows are loaded, bad ones kept apart.",
            )
        )
    advice.append(Suggestion("warn", "Only warn", "With `action: warn` the run goes on and its outcome is `warned`."))
    return advice
