"""What a source costs: what it used this month, at its prices, against its budget."""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.audit.bodies import checked
from apps.pipelines import costs
from apps.pipelines.api import shapes
from apps.pipelines.schedules import clock
from apps.pipelines.states import SPENDING
from apps.sources.models import Source


def _price(what: str, **more: Any) -> Any:
    return s.DecimalField(max_digits=14, decimal_places=6, min_value=0, help_text=f"Price of {what}.", **more)


class PricesBody(shapes.Shape):
    """What is not given stays."""

    currency = s.RegexField(
        r"^[A-Z]{3}\Z",
        required=False,
        help_text="Three capital letters: EUR, USD.",
        error_messages={"invalid": "Write three capital letters, such as EUR."},
    )
    per_call = _price("one request over HTTP", required=False)
    per_gb_read = _price("a gigabyte that is read", required=False)
    per_gb_month = _price("a gigabyte that is kept for a month", required=False)
    budget = s.DecimalField(
        max_digits=12, decimal_places=2, min_value=0, required=False, allow_null=True, help_text="For a month; or null."
    )


class CostShape(shapes.Shape):
    """Amounts of money are texts of decimals."""

    class Parts(shapes.Shape):
        calls = s.CharField()
        read = s.CharField()
        kept = s.CharField()
        total = s.CharField()

    class Day(shapes.Shape):
        day = s.DateField()
        reads = s.IntegerField(help_text="Streams that were read, each time.")
        calls = s.IntegerField()
        bytes_read = s.IntegerField()
        cost = s.CharField(help_text="Of calls and bytes.")

    source = s.CharField()  # type: ignore[assignment]  # a field
    currency = s.CharField()
    per_call = s.CharField()
    per_gb_read = s.CharField()
    per_gb_month = s.CharField()
    budget = s.CharField(allow_null=True)
    state = s.ChoiceField(SPENDING, help_text="`near` from 80 % of the budget on.")
    month = s.CharField(help_text="2026-03, by the clock of UTC.")
    calls = s.IntegerField()
    bytes_read = s.IntegerField()
    bytes_kept = s.IntegerField(help_text="Of the datasets that it feeds, now; shared where several sources feed one.")
    cost = Parts()
    forecast = s.CharField(help_text="What the month will have cost if it goes on like this.")
    days = Day(many=True)


class CostViewSet(ProjectViewSet):
    """What a source costs."""

    model = Source
    serializer_class = CostShape
    filter_backends = ()
    action_needed: ClassVar[dict[str, Any]] = {"update": "manage"}

    @extend_schema(responses=CostShape)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """What it used and cost this month, and each of the last 30 days."""
        return Response(costs.cost_json(self.get_object(), clock()))

    @extend_schema(request=PricesBody, responses=CostShape)
    def update(self, request: Request, **kwargs: Any) -> Response:
        """Set prices and a budget for a month; what is not given stays."""
        source = self.get_object()
        costs.set_prices(source, checked(PricesBody, request), actor=self.actor)
        return Response(costs.cost_json(source, clock()))


urlpatterns = [
    re_path(
        r"^projects/(?P<project>[a-z0-9-]+)/sources/(?P<slug>[a-z0-9-]+)/cost/$",
        CostViewSet.as_view({"get": "retrieve", "put": "update"}),
    ),
]
