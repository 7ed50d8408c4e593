"""`/queries/`: read-only SQL over the project's datasets, and what was run before. `/saved-queries/`: those kept."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import AnyFormat, ProjectViewSet
from apps.audit.bodies import checked
from apps.snapshots import queries, saved, workbench
from apps.snapshots.api import shapes
from apps.snapshots.models import Query, QueryState, SavedQuery


class QueryFilter(filters.FilterSet):
    """Queries of one person, in one state, or of one saved query."""

    user = filters.CharFilter(field_name="user__username")
    state = filters.ChoiceFilter(choices=QueryState.choices)
    saved = filters.CharFilter(field_name="saved__slug")

    class Meta:
        model = Query
        fields: ClassVar[list[str]] = []


class QueryViewSet(ProjectViewSet):
    """Queries: run one, stop it, take its whole answer away; and the history of the project, the newest first."""

    model = Query
    serializer_class = shapes.QueryRow
    lookup_field = "pk"
    lookup_value_regex = "[^/]+"
    filterset_class = QueryFilter
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"-created_at": ("-created_at", "-id")}
    action_needed: ClassVar[dict[str, Any]] = {"create": "read", "cancel": "read", "download": "read"}

    def get_queryset(self) -> QuerySet[Query]:
        return super().get_queryset().select_related("user", "saved", "project")

    @extend_schema(responses=shapes.QueryRow(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([queries.query_json(each) for each in page or ()])

    @extend_schema(responses=shapes.QueryRow)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(queries.query_json(self.get_object()))

    @extend_schema(request=shapes.QueryBody, responses={200: shapes.Answer})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Answer one SELECT. A dataset goes by its slug, an older snapshot by `slug@number` or `slug@label`."""
        body = checked(shapes.QueryBody, request)
        query, result = workbench.run(self.project, self._wanted(body), user=self.user, actor=self.actor)
        return Response(queries.answer_json(query, result))

    @extend_schema(request=None, responses=shapes.QueryRow)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """Stop a running query, which ends within a second: one's own, or as an administrator anybody's."""
        return Response(queries.query_json(workbench.cancel(self.get_object(), user=self.user, actor=self.actor)))

    @extend_schema(
        parameters=[shapes.AnswerParameters],
        responses=shapes.FILES,
    )
    @action(detail=True, methods=["get"], content_negotiation_class=AnyFormat)
    def download(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        """The whole answer of a query as one file, from the snapshots that it read. In CSV, cells that a spreadsheet
        would run as formulas are made harmless."""
        given = shapes.AnswerParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        found, form = self.get_object(), given.validated_data["format"]
        opened, stream = workbench.open_download(
            found, form, order=given.validated_data["order"], user=self.user, actor=self.actor
        )
        name = f"query-{found.created_at:%Y%m%d-%H%M%S}.{form}"
        return StreamingHttpResponse(
            stream,
            content_type=opened.content_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _wanted(self, given: dict[str, Any]) -> workbench.Wanted:
        kept = None
        if ("sql" in given) == ("saved" in given):
            raise serializers.ValidationError({"sql": "Send either `sql` or `saved`."})
        if "saved" in given:
            visible = SavedQuery.objects.visible_to(self.user, "read").filter(project=self.project)
            kept = visible.filter(slug=given["saved"]).first()
            if kept is None:
                raise serializers.ValidationError({"saved": f"There is no saved query `{given['saved']}` here."})
        sql = kept.sql if kept else given["sql"]
        return workbench.Wanted(
            sql=sql,
            parameters=saved.bound(sql, given["parameters"], kept.parameters if kept else ()),
            saved=kept,
            order=given["order"],
            rows=given["limit"],
            id=given.get("id"),
        )


class SavedQueryViewSet(ProjectViewSet):
    """Saved queries: shared in the project, changed by whoever owns one or administers the project."""

    model = SavedQuery
    serializer_class = shapes.SavedQuery
    filter_backends = ()
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"slug": ("slug", "id"), "-updated_at": ("-updated_at", "-id")}
    action_needed: ClassVar[dict[str, Any]] = {"create": "operate", "partial_update": "operate", "destroy": "operate"}

    def get_queryset(self) -> QuerySet[SavedQuery]:
        return super().get_queryset().select_related("owner", "project")

    @extend_schema(responses=shapes.SavedQuery(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([queries.saved_json(each) for each in page or ()])

    @extend_schema(responses=shapes.SavedQuery)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(queries.saved_json(self.get_object()))

    @extend_schema(request=shapes.SavedQueryBody, responses={201: shapes.SavedQuery})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Keep a query under a title. Every `$name` in it is a parameter."""
        given = checked(shapes.SavedQueryBody, request)
        declared = given.pop("parameters")
        made = saved.create(self.project, declared=declared, user=self.user, actor=self.actor, **given)
        return Response(queries.saved_json(made), status.HTTP_201_CREATED)

    @extend_schema(request=shapes.SavedQueryChange, responses=shapes.SavedQuery)
    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Change what is given; the slug stays."""
        given = checked(shapes.SavedQueryChange, request)
        declared = given.pop("parameters", None)
        changed = saved.change(self.get_object(), declared=declared, user=self.user, actor=self.actor, **given)
        return Response(queries.saved_json(changed))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **kwargs: Any) -> Response:
        saved.delete(self.get_object(), user=self.user, actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)
