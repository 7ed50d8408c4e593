"""When a failed step is tried again: the policy of a document, those of its steps, and what each means."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from pydantic import ValidationError

from apps.pipelines.explain import explain, unknown_errors
from apps.pipelines.models import Pipeline
from apps.pipelines.parts import Retry
from apps.pipelines.problems import DocumentError
from apps.pipelines.text import Places
from dataplane.errors import ManifoldError


class Offered(NamedTuple):
    """A class of errors that a person chooses from: in a sentence, and as a form offers it, with examples."""

    said: str
    title: str
    examples: str


# The others are named like codes.
CLASSES = {
    "transient": Offered(
        "faults of networks and servers",
        "Networks and servers",
        "a connection that breaks, a time-out, a server that is busy or away",
    ),
    "infrastructure": Offered(
        "faults of the machine", "The machine", "a full disk, too little memory, storage that does not answer"
    ),
    "configuration": Offered(
        "wrong passwords and settings",
        "Passwords and settings",
        "a wrong password, a missing grant, a table that is gone",
    ),
    "data": Offered("wrong data", "Data", "rows or files that are not as promised, a check that stops"),
}


def policy_of(document: dict[str, Any], key: str) -> Retry:
    """The policy of a step in a stored document: its own, which then stands whole, or else the document's."""
    own = document.get("steps", {}).get(key, {}).get("retry")
    return Retry.model_validate(own if own is not None else document.get("retry") or {})


def waits(policy: Retry) -> list[float]:
    """Seconds before each further attempt; the last delay repeats."""
    last = len(policy.delays) - 1
    return [policy.delays[min(number, last)] for number in range(policy.attempts - 1)] if policy.on else []


def delay(policy: Retry, error: ManifoldError, attempt: int) -> float | None:
    """Seconds until the next attempt after this one has failed; None when it has failed for good."""
    following = waits(policy)
    if attempt > len(following) or not {error.error_class, error.code} & set(policy.on):
        return None
    return following[attempt - 1]


def words(policy: Retry) -> str:
    """A policy as a sentence: Tried again after 1 min, 5 min for faults of the machine; not for wrong data."""
    following = [(long(each), len(list(same))) for each, same in groupby(waits(policy))]
    if not following:
        return "Never tried again."
    times = ", ".join(f"{wait} ({count} times)" if count > 1 else wait for wait, count in following)
    codes = [f"`{each}`" for each in policy.on if each not in CLASSES]
    for_what = [each.said for name, each in CLASSES.items() if name in policy.on] + codes
    left = [each.said for name, each in CLASSES.items() if name not in policy.on]
    not_for = "; for nothing else" if codes else f"; not for {_listed(left, 'or')}" if left else ""
    return f"Tried again after {times} for {_listed(for_what, 'and')}{not_for}."


def long(seconds: float) -> str:
    """Seconds in the largest unit that holds them whole: 90 s, 5 min, 2 days. All digits of a wait are kept."""
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds and seconds % size == 0:
            number = f"{seconds / size:.12g}"
            return f"{number} {unit}s" if unit == "day" and number != "1" else f"{number} {unit}"
    return f"{seconds:.12g} s"


def understood(given: Any, at: tuple[str, ...] = ("retry",)) -> Retry:
    """A policy that somebody wants. Raises DocumentError, which says what is wrong with it and where."""
    try:
        policy = Retry.model_validate(given)
    except ValidationError as error:
        raise DocumentError(explain(error, Retry, given, at, Places())) from None
    if problems := unknown_errors(policy, at, Places()):
        raise DocumentError(problems)
    return policy


def plain(policy: Retry) -> dict[str, Any]:
    """A policy as a document says it, with everything written out."""
    delays = [int(each) if float(each).is_integer() else each for each in policy.delays]
    return {"attempts": policy.attempts, "delays": delays, "on": list(policy.on)}


def retries_json(pipeline: Pipeline) -> dict[str, Any]:
    """The policies of a published document as every door shows them."""
    if pipeline.published is None:
        return {"pipeline": pipeline.slug, "policy": None, "steps": []}
    stored = pipeline.published.document
    steps = [
        {"key": key, "own": stored["steps"][key].get("retry") is not None, "policy": shown(policy_of(stored, key))}
        for key in stored.get("order", stored["steps"])
    ]
    return {"pipeline": pipeline.slug, "policy": shown(policy_of(stored, "")), "steps": steps}


def steps_of(said: dict[str, Any]) -> dict[str, Any]:
    """The steps of what a draft says, by their ids, right or not."""
    steps = said.get("steps")
    return {key: each for key, each in steps.items() if isinstance(each, dict)} if isinstance(steps, dict) else {}


def written(said: dict[str, Any], step: str | None = None) -> dict[str, Any] | None:
    """The policy in what a draft says, right or not, whole; None for a step that has none of its own."""
    found = said.get("retry", {}) if step is None else steps_of(said).get(step, {}).get("retry")
    return {**plain(Retry()), **found} if isinstance(found, dict) else None


def shown(policy: Retry) -> dict[str, Any]:
    """A policy with what it means."""
    return {**plain(policy), "waits": waits(policy), "says": words(policy)}


def _listed(parts: list[str], conjunction: str) -> str:
    return f" {conjunction} ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
