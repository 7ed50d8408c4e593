"""The shapes of the sources' API: what is answered, and what may be sent. No shape holds a secret on its way out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.sources.models import ConnectionCheck, Credential, SchemaVersion, Source, SourceFile, Stream, Upload
from apps.sources.services import KEPT, LONGEST
from apps.sources.shapes_drift import policy_field
from dataplane.connectors.base import Connector
from dataplane.connectors.fields import secret_names


def connector_shape(kind: type[Connector]) -> dict[str, Any]:
    return {
        "key": kind.key,
        "title": kind.title,
        "family": kind.family,
        "summary": kind.summary,
        "capabilities": vars(kind.capabilities),
        "tested_with": kind.tested_with,
        "secrets": sorted(secret_names(kind.Params)),
        "schema": kind.Params.model_json_schema(),
    }


class ConnectorShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    title = serializers.CharField()
    family = serializers.CharField()
    summary = serializers.CharField()
    capabilities = serializers.DictField(child=serializers.BooleanField())
    tested_with = serializers.CharField(allow_blank=True, help_text="What its tests read for real; empty: nothing yet.")
    secrets = serializers.ListField(child=serializers.CharField(), help_text="Parameters that are write-only.")
    schema = serializers.DictField(help_text="JSON Schema of the parameters.")


class CredentialShape(serializers.ModelSerializer[Credential]):
    secrets = serializers.SerializerMethodField(help_text="The names of the secrets that are set; never a value.")
    sources = serializers.SlugRelatedField[Source](slug_field="slug", many=True, read_only=True)

    class Meta:
        model = Credential
        fields = [
            "id",
            "slug",
            "connector",
            "secrets",
            "sources",
            "key_version",
            "expires_on",
            "created_at",
            "changed_at",
        ]

    def get_secrets(self, credential: Credential) -> list[str]:
        return sorted(credential.secrets)


class CredentialBody(serializers.Serializer[Any]):
    slug = serializers.CharField()
    connector = serializers.CharField()
    secrets = serializers.DictField(child=serializers.CharField(trim_whitespace=False), write_only=True)


class SecretsBody(serializers.Serializer[Any]):
    secrets = serializers.DictField(
        child=serializers.CharField(trim_whitespace=False, allow_blank=True),
        write_only=True,
        required=False,
        help_text="Replaces what is named; an empty text removes it.",
    )
    expires_on = serializers.DateField(
        required=False, allow_null=True, help_text="The last day on which they are good. New secrets clear it."
    )


class SourceShape(serializers.ModelSerializer[Source]):
    credential = serializers.SlugRelatedField[Credential](slug_field="slug", read_only=True, allow_null=True)
    secrets = serializers.SerializerMethodField(help_text="The names of the secrets that are set; never a value.")
    streams = serializers.SerializerMethodField(help_text="How many streams are known.")

    class Meta:
        model = Source
        fields = [
            "id",
            "slug",
            "title",
            "connector",
            "params",
            "credential",
            "secrets",
            "writable",
            "health",
            "health_reason",
            "health_at",
            "check_every",
            "next_check_at",
            "drift",
            "streams",
            "created_at",
            "changed_at",
        ]

    def get_secrets(self, source: Source) -> list[str]:
        return sorted(source.credential.secrets) if source.credential else []

    def get_streams(self, source: Source) -> int:
        counted = getattr(source, "stream_count", None)
        return source.streams.count() if counted is None else int(counted)


class SourceChanges(serializers.Serializer[Any]):
    title = serializers.CharField(required=False, allow_blank=True, max_length=200)
    params = serializers.DictField(
        required=False,
        help_text="Merged into what is there; null takes a parameter out. Secrets go here, too, and never come back.",
    )
    credential = serializers.CharField(required=False, help_text="Slug of a credential that several sources share.")
    writable = serializers.BooleanField(required=False)
    check_every = serializers.IntegerField(
        required=False, min_value=0, max_value=LONGEST, help_text="Seconds between two tests; 0 for never."
    )
    drift = policy_field(blank=False)


class SourceBody(SourceChanges):
    slug = serializers.CharField()
    title = serializers.CharField(required=False, allow_blank=True, max_length=200, default="")
    connector = serializers.CharField()
    params = serializers.DictField(required=False, default=dict)


class StageShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    ok = serializers.BooleanField()
    seconds = serializers.FloatField()
    detail = serializers.CharField(allow_blank=True)
    error = serializers.DictField(allow_null=True, help_text="The shape `error`, without `last_good_run`.")


@extend_schema_serializer(component_name="ConnectionCheck")
class CheckShape(serializers.ModelSerializer[ConnectionCheck]):
    stages = StageShape(many=True)

    class Meta:
        model = ConnectionCheck
        fields = ["id", "at", "ok", "seconds", "stages", "actor_name"]


class HealthParameters(serializers.Serializer[Any]):
    days = serializers.IntegerField(min_value=1, max_value=KEPT.days, default=7, help_text="So many are looked at.")


class SeenParameters(serializers.Serializer[Any]):
    path = serializers.CharField(
        default="", allow_blank=True, trim_whitespace=False, max_length=4096, help_text="Only this one, as it is named."
    )


class ConnectionShape(serializers.Serializer[Any]):
    days = serializers.IntegerField()
    tests = serializers.IntegerField()
    failed = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True, help_text="0 to 1; null without a test.")
    latency_p50_s = serializers.FloatField(allow_null=True, help_text="Seconds; of the tests that passed.")
    latency_p95_s = serializers.FloatField(allow_null=True)


@extend_schema_serializer(component_name="SourceHealthReport")
class HealthShape(serializers.ModelSerializer[Source]):
    connection = serializers.SerializerMethodField()

    class Meta:
        model = Source
        fields = ["slug", "health", "health_reason", "health_at", "check_every", "next_check_at", "connection"]

    @extend_schema_field(ConnectionShape)
    def get_connection(self, source: Source) -> dict[str, Any]:
        return dict(ConnectionShape(self.context["figures"]).data)


class DiscoverBody(serializers.Serializer[Any]):
    streams = serializers.ListField(child=serializers.CharField(), required=False, allow_null=True)


@extend_schema_serializer(component_name="SourceColumn")
class ColumnShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField(help_text="DuckDB's name of the type that arrives.")
    nullable = serializers.BooleanField()
    native = serializers.CharField(help_text="The source's own type.")
    warning = serializers.CharField(help_text="What this type does not bring over as it was, if anything.")


class StreamShape(serializers.ModelSerializer[Stream]):
    columns = serializers.SerializerMethodField()
    warnings = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="What was said of it when its source was last looked at.",
    )

    class Meta:
        model = Stream
        fields = [
            "id",
            "name",
            "columns",
            "warnings",
            "config",
            "drift",
            "drift_answered",
            "rows",
            "bytes",
            "discovered_at",
            "changed_at",
        ]

    def get_columns(self, stream: Stream) -> list[dict[str, Any]]:
        return list(stream.config.get("columns", []))

    def to_representation(self, instance: Stream) -> dict[str, Any]:
        shown = super().to_representation(instance)
        shown["config"] = {name: value for name, value in instance.config.items() if name != "columns"}
        return shown


_CONFIG = "Any of settings, columns, select, row_filter, query, cursor, lookback, names; the rest stays as it is."


class TryBody(serializers.Serializer[Any]):
    config = serializers.DictField(help_text=_CONFIG)


class StreamChanges(serializers.Serializer[Any]):
    config = serializers.DictField(help_text=_CONFIG, required=False)
    drift = policy_field(blank=True)


class RejectedShape(serializers.Serializer[Any]):
    file = serializers.CharField(allow_null=True)
    row = serializers.IntegerField(allow_null=True, help_text="Its line in the file, else its number.")
    place = serializers.CharField(allow_blank=True, help_text="Both, in words.")
    reason = serializers.CharField()
    raw = serializers.CharField(allow_blank=True)


class FindingShape(serializers.Serializer[Any]):
    stream = serializers.CharField()
    code = serializers.CharField(help_text="Such as missing_grant or cursor_unindexed.")
    message = serializers.CharField()
    remedy = serializers.CharField(allow_blank=True, help_text="The statement to run in the source.")


@extend_schema_serializer(component_name="TriedStream")
class TriedShape(serializers.Serializer[Any]):
    rows = serializers.IntegerField(help_text="So many rows of the sample would arrive.")
    rejected = serializers.IntegerField(help_text="So many would be set aside.")
    samples = RejectedShape(many=True, help_text="The first of them.")
    warnings = serializers.ListField(child=serializers.CharField())
    file = serializers.CharField(allow_null=True, help_text="The file that was read whole; of tables the first rows.")
    findings = FindingShape(many=True, help_text="What stands against reading it as it is declared.")
    error = serializers.DictField(allow_null=True, help_text="Why a run would fail: the shape `error`.")


class ReadSoBody(serializers.Serializer[Any]):
    settings = serializers.DictField(help_text="Those that change, such as delimiter, header or pattern.")
    anyway = serializers.BooleanField(default=False, help_text="Keep it although rows would be set aside.")
    dry_run = serializers.BooleanField(default=False, help_text="Keep nothing.")


class ReadSoShape(serializers.Serializer[Any]):
    settings = serializers.DictField(help_text="All of them, with those that were found.")
    columns = ColumnShape(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
    tried = TriedShape()
    saved = serializers.BooleanField()


class StreamBody(serializers.Serializer[Any]):
    name = serializers.CharField()
    config = serializers.DictField(required=False, default=dict)


class SchemaShape(serializers.ModelSerializer[SchemaVersion]):
    columns = ColumnShape(many=True)

    class Meta:
        model = SchemaVersion
        fields = ["number", "columns", "seen_at", "run"]


class UploadShape(serializers.ModelSerializer[Upload]):
    class Meta:
        model = Upload
        fields = ["id", "name", "size", "digest", "uploaded_at", "uploaded_by"]


class FileShape(serializers.ModelSerializer[SourceFile]):
    stream = serializers.SlugRelatedField[Stream](slug_field="name", read_only=True)

    class Meta:
        model = SourceFile
        fields = [
            "id",
            "path",
            "stream",
            "size",
            "modified",
            "file_date",
            "digest",
            "ignored",
            "first_seen_at",
            "last_seen_at",
            "gone_at",
        ]


class IgnoreBody(serializers.Serializer[Any]):
    ignored = serializers.BooleanField(default=True)


class PreviewParameters(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=500, default=50, help_text="Rows.")


class QueryColumn(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField()


class QueryShape(serializers.Serializer[Any]):
    """The shape `query`: rows with the columns they have."""

    columns = QueryColumn(many=True)
    rows = serializers.ListField(child=serializers.ListField(child=serializers.JSONField(allow_null=True)))
    row_count = serializers.IntegerField()
    truncated = serializers.BooleanField()
    seconds = serializers.FloatField()
    bytes_scanned = serializers.IntegerField()


@extend_schema_serializer(component_name="StreamPreview")
class PreviewShape(QueryShape):
    """The shape `query`, with what of the part that was looked at would not arrive."""

    rejected = serializers.IntegerField(help_text="So many rows of the part that was looked at would be set aside.")
    samples = RejectedShape(many=True, help_text="The first of them.")
