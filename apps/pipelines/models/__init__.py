"""Pipelines, their versions, runs, steps of runs, and the windows that make incremental reading exact."""

from __future__ import annotations

from apps.pipelines.models.backfills import Backfill
from apps.pipelines.models.documents import Pipeline, PipelineVersion
from apps.pipelines.models.hooks import Hook, HookMessage, HookSecret
from apps.pipelines.models.runs import Decision, LogLine, Run, StepRun
from apps.pipelines.models.schedules import Fire, Schedule
from apps.pipelines.models.watched import Freshness, Spending
from apps.pipelines.models.windows import Ingestion, Window

__all__ = [
    "Backfill",
    "Decision",
    "Fire",
    "Freshness",
    "Hook",
    "HookMessage",
    "HookSecret",
    "Ingestion",
    "LogLine",
    "Pipeline",
    "PipelineVersion",
    "Run",
    "Schedule",
    "Spending",
    "StepRun",
    "Window",
]
