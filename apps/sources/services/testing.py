"""Testing a source: asked in a thread with a time limit, kept, and judged together with the tests before."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections

from apps.audit.context import Actor, acting
from apps.audit.services import record
from apps.sources.health import LAST, Verdict, judged
from apps.sources.models import ConnectionCheck, Source
from apps.sources.services.connectors import connector_of
from apps.sources.services.judging import record_change
from dataplane.connectors.base import Connector, Stage
from dataplane.errors import ManifoldError, TransientError

SECONDS = 30.0
"""A test that takes longer than this has failed, whatever it waits for."""
KEPT = timedelta(days=30)
"""So long the outcome of a test is remembered."""


@dataclass(frozen=True)
class Answer:
    """What a test of a source came to."""

    stages: list[Stage]
    seconds: float

    @property
    def lacks_only_consent(self) -> bool:
        """Whether it failed because nobody has connected the source yet, which can be done once it is stored."""
        return any(each.error is not None and each.error.code == "not_connected" for each in self.stages)


class Asking:
    """A test of a source that is under way in a thread of its own, so that several go on and none goes on for ever.

    The thread touches the database only where it renews what lets the source in, on a connection of its own. One that
    hangs is left behind: the time limits of its driver end it.
    """

    def __init__(self, source: Source) -> None:
        """Begin. Never raises ManifoldError."""
        self._began = time.monotonic()
        self._stages: list[Stage] = []
        self._bug: Exception | None = None
        self._ended: float | None = None
        self._thread: threading.Thread | None = None
        try:
            connector = connector_of(source)
        except ManifoldError as error:
            self._stages.append(Stage("settings", False, 0.0, error.message, error))
            return
        self._thread = threading.Thread(target=self._ask, args=[connector], name="asking", daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        """The stages; wait for them for as long as a test may take."""
        if self._thread is not None:
            self._thread.join(max(0.0, self._began + SECONDS - time.monotonic()))
            if self._thread.is_alive():
                stages = list(self._stages)
                return Answer([*stages, _too_long(SECONDS - sum(each.seconds for each in stages))], SECONDS)
        if self._bug is not None:
            raise self._bug
        return Answer(self._stages, (self._ended or time.monotonic()) - self._began)

    def _ask(self, connector: Connector) -> None:
        try:
            for stage in connector.test():
                self._stages.append(stage)
        except Exception as error:
            self._bug = error
        finally:
            self._ended = time.monotonic()
            connections.close_all()


def test_source(source: Source, *, actor: Actor) -> ConnectionCheck:
    """Test a source stage by stage, keep the outcome, and set the source's health by it. Never raises ManifoldError."""
    return keep_tested(source, Asking(source).answer(), actor=actor)


def keep_tested(source: Source, answer: Answer, *, actor: Actor) -> ConnectionCheck:
    """Keep what a test came to that somebody has asked for, which is an event."""
    with acting(actor):
        check = keep_check(source, answer, actor=actor)
        record(
            "source tested",
            object_type="source",
            object_id=source.pk,
            object_name=source.slug,
            project=source.project_id,
            data={"ok": check.ok, "seconds": check.seconds},
        )
    return check


def keep_check(source: Source, answer: Answer, *, actor: Actor) -> ConnectionCheck:
    """Keep what a test came to, judge the source's health by it and those before, and forget what is a month old.

    A change of health is an event. A test of what the source was before somebody changed it says nothing about what it
    is now; and tests from before a change say nothing about those after it.
    """
    with acting(actor):
        locked = Source.objects.select_for_update(no_key=True).get(pk=source.pk)
        check = ConnectionCheck.objects.create(
            source=source,
            ok=all(each.ok for each in answer.stages),
            seconds=round(answer.seconds, 4),
            stages=[stage_json(each) for each in answer.stages],
            actor_name=actor.name[:200],
        )
        source.checks.filter(at__lt=check.at - KEPT).delete()
        if locked.changed_at == source.changed_at:
            earlier = source.checks.filter(at__gte=source.changed_at).exclude(pk=check.pk)[: LAST - 1]
            _set_health(source, locked.health, judged(source, [check, *earlier], check.at), check.at)
    return check


def _set_health(source: Source, before: str, verdict: Verdict, at: datetime) -> None:
    source.health, source.health_reason, source.health_at = verdict.health, verdict.reason, at
    source.next_check_at = next_moment(source.pk, source.check_every, at)
    source.save(update_fields=["health", "health_reason", "health_at", "next_check_at"])
    record_change(source, before, verdict)


def next_moment(source: uuid.UUID, every: int, now: datetime) -> datetime | None:
    """When a source that is tested every so many seconds is due next; None for never.

    Each source has moments of its own, told by its id, so that a hundred with one interval are spread over it.
    """
    if not every:
        return None
    beginning = datetime.fromtimestamp(source.int % every, UTC)
    return now + timedelta(seconds=every) - (now - beginning) % timedelta(seconds=every)


def _too_long(waited: float) -> Stage:
    message = f"No answer within {SECONDS:.0f} seconds: the server may be overloaded, or a firewall may drop packets."
    return Stage("time", False, max(0.0, waited), message, TransientError(message, code="answer_timeout"))


def stage_json(stage: Stage) -> dict[str, Any]:
    """A stage as it is kept, and answered."""
    return {
        "name": stage.name,
        "ok": stage.ok,
        "seconds": round(stage.seconds, 4),
        "detail": stage.detail,
        "error": stage.error.as_json() if stage.error else None,
    }
