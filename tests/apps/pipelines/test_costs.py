"""What a source costs: requests, bytes read and kept, at its prices; a budget warns once, and its health says so."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.audit.models import Event
from apps.pipelines import costs
from apps.pipelines.costs import Usage, cost_of
from apps.pipelines.models import Ingestion, Run, Spending
from apps.snapshots.models import DataFile
from apps.sources import services as sources
from apps.sources.models import Health, Source
from tests.apps.pipelines import workshop as ws
from tests.furnished import Furnished
from tests.people import Api

ADDRESS = "/api/v1/projects/flights/sources/drop/cost/"
MONEY = st.decimals(0, 1000, places=6)


@given(calls=st.integers(0, 10**9), read=st.integers(0, 10**15), kept=st.integers(0, 10**15), price=MONEY)
def test_the_parts_are_the_whole(calls: int, read: int, kept: int, price: Decimal) -> None:
    prices = Spending(per_call=price, per_gb_read=price, per_gb_month=price)
    cost = cost_of(Usage(calls, read, kept), prices)
    assert cost["total"] == cost["calls"] + cost["read"] + cost["kept"]
    assert abs(cost["total"] - price * (calls + Decimal(read + kept) / 10**9)) < Decimal("0.000001")


@pytest.mark.parametrize(
    ("cost", "budget", "state"),
    [
        ("7.99", "10", "within"),
        ("8", "10", "near"),
        ("10", "10", "near"),
        ("10.01", "10", "over"),
        ("99", None, "within"),
    ],
)
def test_how_a_budget_stands(cost: str, budget: str | None, state: str) -> None:
    assert costs.state_of(Decimal(cost), Decimal(budget) if budget else None) == state


def used(run: Run, calls: int) -> None:
    """Requests that a run of this month has sent, beside what the furnished project did."""
    Ingestion.objects.filter(run=run).update(calls=calls, at=timezone.now())


@pytest.mark.django_db
def test_a_budget_warns_once_and_the_health_says_so(furnished: Furnished) -> None:
    source = Source.objects.get(slug="drop")
    sources.test_source(source, actor=ws.ACTOR)
    costs.set_prices(source, {"per_call": Decimal("0.01"), "budget": Decimal("10")}, actor=ws.ACTOR)

    def warned(calls: int) -> list[str]:
        used(furnished.succeeded, calls)
        for _ in range(2):
            costs.watch()
        source.refresh_from_db()
        verbs = ["budget within", "budget near", "budget over"]
        return list(Event.objects.filter(verb__in=verbs).order_by("id").values_list("verb", flat=True))

    def since() -> datetime:
        return Spending.objects.get().state_at.astimezone(UTC)

    assert warned(700) == []
    assert source.health == Health.HEALTHY
    assert warned(900) == ["budget near"]
    assert (source.health, source.health_reason) == (
        Health.WARNING,
        f"Its budget of 10.00 EUR for this month is nearly spent: 9.00 EUR on {since():%d %b %Y, %H:%M} UTC.",
    )
    assert warned(1100) == ["budget near", "budget over"]
    assert warned(0) == ["budget near", "budget over", "budget within"]
    assert source.health == Health.HEALTHY


@pytest.mark.django_db
def test_a_price_that_costs_more_than_can_be_kept(furnished: Furnished) -> None:
    used(furnished.succeeded, 10**9)
    source = Source.objects.get(slug="drop")
    row = costs.set_prices(source, {"per_call": Decimal("99999999"), "budget": Decimal("10")}, actor=ws.ACTOR)
    row.refresh_from_db()
    assert (row.state, row.spent) == ("over", Decimal("999999999999.99"))


@pytest.mark.django_db
def test_it_works(furnished: Furnished, api: Api) -> None:
    admin = api(furnished.people["admin"])
    used(furnished.succeeded, 2000)
    body = {"per_call": "0.002", "per_gb_month": "1000000", "currency": "USD", "budget": "50"}
    found = admin.put(ADDRESS, body).json()
    kept = sum(DataFile.objects.filter(dataset__slug="orders").values_list("bytes", flat=True))
    assert (found["calls"], found["bytes_kept"], found["per_call"], found["currency"]) == (2000, kept, "0.002", "USD")
    assert found["cost"]["calls"] == "4.00"
    assert found["cost"]["kept"] == f"{Decimal(kept) / 1000:.2f}"
    assert len(found["days"]) == 30 and found["days"][-1]["calls"] == 2000 and found["days"][-1]["cost"] == "4"
    # What is not given stays, and null takes the budget away.
    assert admin.put(ADDRESS, {"budget": None}).json()["per_call"] == "0.002"
    assert admin.get(ADDRESS).json()["budget"] is None
    refused = admin.put(ADDRESS, {"per_call": "-1", "currency": "euro"})
    assert refused.status_code == 400
    told = {each["field"]: each["message"] for each in refused.json()["errors"]}
    assert set(told) == {"per_call", "currency"} and told["currency"] == "Write three capital letters, such as EUR."
    assert Event.objects.filter(object_type="spending").count() == 2


@pytest.mark.django_db
def test_the_months_before_cost_nothing_now(furnished: Furnished) -> None:
    source = Source.objects.get(slug="drop")
    used(furnished.succeeded, 50)
    Ingestion.objects.update(at=datetime(2026, 2, 28, 23, 59, tzinfo=UTC))
    found = costs.cost_json(source, datetime(2026, 3, 1, tzinfo=UTC))
    assert (found["month"], found["calls"]) == ("2026-03", 0)
    assert found["days"][-2]["calls"] == 50


@pytest.mark.django_db
def test_the_page_draws_it_and_takes_prices(furnished: Furnished, client: Client) -> None:
    client.force_login(furnished.people["admin"])
    place = "/p/flights/sources/drop/cost/"
    text = client.get(place).content.decode()
    assert 'data-chart="bytes"' in text and text.count("<tr>") == 2
    refused = client.post(place, {"per_call": "much"})
    assert refused.status_code == 422 and "A request: A valid number is required" in refused.content.decode()
    assert client.post(place, {"per_call": "0,5", "budget": "", "currency": "USD"}).status_code == 302
    row = Spending.objects.get()
    assert (row.per_call, row.budget) == (Decimal("0.5"), None)
    client.force_login(furnished.people["operator"])
    text = client.get(place).content.decode()
    assert "<dt>A request</dt><dd>0.5 USD</dd>" in text and 'name="per_call"' not in text
    empty = client.get("/p/flights/sources/db/cost/").content.decode()
    assert "Nothing was read yet" in empty and "data-chart" not in empty, "there is nothing to draw"
