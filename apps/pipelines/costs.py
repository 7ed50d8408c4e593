"""What each source costs: requests, bytes read and bytes kept, at its prices, against a budget for the month.

A month is one of UTC. What is kept is charged for the whole month as it is now; a dataset that several sources feed is
shared between them in equal parts.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDate

from apps.accounts.models import Project
from apps.audit.context import SYSTEM, Actor, acting
from apps.audit.services import record
from apps.audit.ticks import one_by_one, tick
from apps.pipelines import lineage
from apps.pipelines.models import Ingestion, Spending
from apps.pipelines.schedules import clock
from apps.snapshots.models import DataFile
from apps.sources.models import Source
from apps.sources.services.judging import judge_again

DAYS = 30
NEAR = Decimal("0.8")
"""From this share of the budget on somebody is warned."""
_GB = Decimal(10**9)
_CENT = Decimal("0.01")
# What the column `spent` takes: whoever spends more is told this.
_MOST = Decimal("999999999999.99")
PRICES = ("per_call", "per_gb_read", "per_gb_month")


@dataclass(frozen=True)
class Usage:
    """What was asked for and read in some time, and what is kept now; sizes in bytes."""

    calls: int = 0
    read: int = 0
    kept: int = 0


def cost_of(usage: Usage, prices: Spending) -> dict[str, Decimal]:
    """What this costs, by what it is charged for."""
    parts = {
        "calls": usage.calls * prices.per_call,
        "read": usage.read / _GB * prices.per_gb_read,
        "kept": usage.kept / _GB * prices.per_gb_month,
    }
    return {**parts, "total": sum(parts.values(), Decimal(0))}


def month_of(now: datetime) -> datetime:
    """The first moment of the month."""
    now = now.astimezone(UTC)
    return datetime(now.year, now.month, 1, tzinfo=UTC)


def cost_json(source: Source, now: datetime) -> dict[str, Any]:
    """What a source used and cost this month, what it will have cost at its end, and each of the last days."""
    prices = Spending.objects.filter(source=source).first() or Spending(source=source)
    rows = Ingestion.objects.filter(source=source.pk)
    usage = _usage(rows.filter(at__gte=month_of(now)), kept_of(source.project).get(source.slug, 0))
    cost = cost_of(usage, prices)
    return {
        "source": source.slug,
        "currency": prices.currency,
        **{name: _plain(getattr(prices, name)) for name in PRICES},
        "budget": _money(prices.budget) if prices.budget is not None else None,
        "state": state_of(cost["total"], prices.budget),
        "month": f"{month_of(now):%Y-%m}",
        "calls": usage.calls,
        "bytes_read": usage.read,
        "bytes_kept": usage.kept,
        "cost": {name: _money(value) for name, value in cost.items()},
        "forecast": _money(_forecast(cost, now)),
        "days": _days(rows, prices, now),
    }


def state_of(cost: Decimal, budget: Decimal | None) -> str:
    """`within`, `near` or `over` the budget; always within where there is none."""
    if budget is None or cost < budget * NEAR:
        return "within"
    return "near" if cost <= budget else "over"


def kept_of(project: Project) -> dict[str, int]:
    """The bytes that are kept of each source, by its slug: of the datasets that it feeds, old snapshots too."""
    places: dict[str, set[str]] = {}
    for flow in lineage.flows(project):
        if flow.writes.kind == "dataset":
            places[flow.writes.name] = {each.place for each in flow.reads if each.kind == "stream"}
    files = DataFile.objects.filter(dataset__project=project, dataset__slug__in=places).order_by()
    kept: dict[str, int] = {}
    for slug, size in files.values_list("dataset__slug").annotate(size=Sum("bytes")):
        for place in places[slug]:
            kept[place] = kept.get(place, 0) + size // len(places[slug])
    return kept


def set_prices(source: Source, wanted: Mapping[str, Any], *, actor: Actor) -> Spending:
    """Set the prices and the budget that are given; the others stay."""
    with acting(actor):
        Spending.objects.update_or_create(source=source, defaults=dict(wanted))
        prices = Spending.objects.get(source=source)
    settle(prices, kept_of(source.project).get(source.slug, 0), clock())
    return prices


@tick
def watch() -> None:
    """Warn, once, of budgets that are nearly or wholly spent, and say when one is kept again."""
    now = clock()
    rows = Spending.objects.exclude(budget=None, state="within").select_related("source__project")
    kept: dict[Any, dict[str, int]] = {}
    for each in rows:
        if each.source.project_id not in kept:
            kept[each.source.project_id] = kept_of(each.source.project)
    one_by_one(lambda row: settle(row, kept[row.source.project_id].get(row.source.slug, 0), now), rows)


def settle(prices: Spending, kept: int, now: datetime) -> None:
    """Write down how the month of a source stands, if it stands otherwise than it did; its health says so, too."""
    source = prices.source
    usage = _usage(Ingestion.objects.filter(source=source.pk, at__gte=month_of(now)), kept)
    total = cost_of(usage, prices)["total"]
    state = state_of(total, prices.budget)
    if state == prices.state:
        return
    with acting(SYSTEM):
        mine = Spending.objects.filter(pk=prices.pk, state=prices.state)
        if not mine.update(state=state, spent=min(_rounded(total), _MOST), state_at=now):
            return
        record(
            f"budget {state}",
            object_type="source",
            object_id=source.pk,
            object_name=source.slug,
            project=source.project_id,
            data={
                "before": prices.state,
                "spent": _money(total),
                "budget": _money(prices.budget) if prices.budget is not None else None,
                "currency": prices.currency,
            },
        )
        judge_again(source.pk)


def notice(source: Source) -> str:
    """What a source's health has to say of its budget; nothing while it is kept."""
    row = Spending.objects.filter(source=source).exclude(state="within").first()
    if row is None or row.budget is None:
        return ""
    how = "is spent" if row.state == "over" else "is nearly spent"
    spent = f"{_money(row.spent)} {row.currency} on {row.state_at.astimezone(UTC):%d %b %Y, %H:%M} UTC"
    return f"Its budget of {_money(row.budget)} {row.currency} for this month {how}: {spent}."


def with_cost(rows: Iterable[Ingestion], prices: Spending) -> list[tuple[Ingestion, str]]:
    """Rows of the history, each with what its requests and bytes cost."""
    return [(each, _plain(cost_of(Usage(each.calls, each.bytes), prices)["total"])) for each in rows]


def _usage(rows: QuerySet[Ingestion], kept: int) -> Usage:
    found = rows.order_by().aggregate(calls=Sum("calls"), read=Sum("bytes"))
    return Usage(found["calls"] or 0, found["read"] or 0, kept)


def _forecast(cost: Mapping[str, Decimal], now: datetime) -> Decimal:
    """What the month will have cost if it goes on like this."""
    begun = month_of(now)
    length = timedelta(days=calendar.monthrange(begun.year, begun.month)[1])
    passed = max(now - begun, timedelta(days=1))
    return (cost["calls"] + cost["read"]) * Decimal(length / passed) + cost["kept"]


def _days(rows: QuerySet[Ingestion], prices: Spending, now: datetime) -> list[dict[str, Any]]:
    first = now.astimezone(UTC).date() - timedelta(days=DAYS - 1)
    since = rows.filter(at__gte=datetime(first.year, first.month, first.day, tzinfo=UTC)).order_by()
    by_day = since.annotate(day=TruncDate("at", tzinfo=UTC)).values("day")
    found: dict[date, Any] = {
        each["day"]: each for each in by_day.annotate(reads=Count("pk"), calls=Sum("calls"), read=Sum("bytes"))
    }
    nothing = {"reads": 0, "calls": 0, "read": 0}
    days = []
    for number in range(DAYS):
        day = first + timedelta(days=number)
        one = found.get(day, nothing)
        cost = cost_of(Usage(one["calls"], one["read"]), prices)["total"]
        days.append(
            {
                "day": day.isoformat(),
                "reads": one["reads"],
                "calls": one["calls"],
                "bytes_read": one["read"],
                "cost": _plain(cost),
            }
        )
    return days


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_CENT, ROUND_HALF_UP)


def _money(value: Decimal) -> str:
    return f"{_rounded(value):f}"


def _plain(value: Decimal) -> str:
    """A small price with all its digits and no more than six of them behind the point."""
    return f"{value.quantize(Decimal('0.000001'), ROUND_HALF_UP).normalize():f}"
