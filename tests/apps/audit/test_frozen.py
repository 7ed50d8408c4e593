"""Rows that are over keep what they ended with, whoever writes and however."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.pipelines.models import Run, StepRun
from tests.apps.pipelines.execution.factories import make_run

pytestmark = pytest.mark.django_db


def test_a_run_that_is_over_keeps_its_outcome() -> None:
    run = make_run()
    Run.objects.filter(pk=run.pk).update(outcome="warned")
    Run.objects.filter(pk=run.pk).update(state="succeeded", outcome="clean")
    for change in ({"outcome": "warned"}, {"state": "failed"}, {"error": {"code": "x"}}):
        with pytest.raises(IntegrityError, match=r"run .* is over \(succeeded\)"), transaction.atomic():
            Run.objects.filter(pk=run.pk).update(**change)
    # What is no part of the outcome may still change.
    Run.objects.filter(pk=run.pk).update(outcome="clean", mode_reason="told later")
    run.refresh_from_db()
    assert (run.state, run.outcome, run.mode_reason) == ("succeeded", "clean", "told later")


def test_a_step_that_is_over_keeps_its_fence() -> None:
    step = make_run().steps.get()
    StepRun.objects.filter(pk=step.pk).update(state="running", fence=1)
    StepRun.objects.filter(pk=step.pk).update(state="succeeded")
    with pytest.raises(IntegrityError, match=r"steprun .* is over \(succeeded\)"), transaction.atomic():
        StepRun.objects.filter(pk=step.pk).update(fence=2)
