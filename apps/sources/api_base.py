"""What the views of sources share: the source that an address names, and fields that a service has refused."""

from __future__ import annotations

from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.sources.models import Source
from apps.sources.parameters import InvalidFields

NAME = "[^/]+"


class RefusesFields:
    """Turns InvalidFields of a service into the answer that names each field where the body has it."""

    fields_below = ""
    own_fields: frozenset[str] = frozenset()

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, InvalidFields) and self.fields_below:
            exc = InvalidFields(
                {
                    name if name in (*self.own_fields, self.fields_below) else f"{self.fields_below}.{name}": texts
                    for name, texts in exc.fields.items()
                }
            )
        answer: Response = super().handle_exception(exc)  # type: ignore[misc]
        return answer


class InSource(RefusesFields, ProjectViewSet):
    """Base of what hangs below one source."""

    def source_or_404(self) -> Source:
        rows = Source.objects.visible_to(self.user, self.needed).filter(project=self.project)
        found: Source = self.row(rows.select_related("credential"), slug=self.kwargs["source"])
        return found
