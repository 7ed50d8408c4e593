"""The shapes of adding a source: what was pasted, what it may be, and a source that is not there yet."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.sources.shapes import ColumnShape, PreviewShape, SourceBody, StageShape, TriedShape
from dataplane.connectors import registry
from dataplane.connectors.clues import LONGEST
from dataplane.connectors.detection import Candidate
from dataplane.connectors.wellknown import Template


class DetectBody(serializers.Serializer[Any]):
    text = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=LONGEST,
        trim_whitespace=False,
        write_only=True,
        help_text="An address, a connection string, a path, a command of curl or psql, or some lines of a file.",
    )
    sample = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=2 * LONGEST,
        write_only=True,
        help_text=f"The first bytes of a file, at most {LONGEST:,}, in base64.",
    )
    name = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200, help_text="The file's name."
    )

    def validate_sample(self, value: str) -> bytes:
        try:
            return base64.b64decode(value, validate=True)[:LONGEST]
        except (binascii.Error, ValueError):
            raise serializers.ValidationError("It is not base64.") from None

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["text"].strip() and not attrs["sample"]:
            raise serializers.ValidationError({"text": ["Give a text, or a sample of a file."]})
        return attrs


class CandidateShape(serializers.Serializer[Candidate]):
    connector = serializers.CharField()
    title = serializers.SerializerMethodField(help_text="The connector's.")
    family = serializers.SerializerMethodField()
    confidence = serializers.FloatField(help_text="0 to 1.")
    reasons = serializers.ListField(child=serializers.CharField())
    params = serializers.DictField(help_text="What was understood, without secrets.")
    secrets = serializers.SerializerMethodField(help_text="The names of the secrets that were understood; no value.")
    missing = serializers.ListField(child=serializers.CharField(), help_text="What still has to be said.")
    name = serializers.CharField(source="title", help_text="What the source might be called; may be empty.")

    def get_title(self, found: Candidate) -> str:
        return registry.get(found.connector).title

    def get_family(self, found: Candidate) -> str:
        return registry.get(found.connector).family

    def get_secrets(self, found: Candidate) -> list[str]:
        return sorted(found.secrets)


class DetectedShape(serializers.Serializer[Any]):
    clear = serializers.BooleanField(help_text="Whether the first is meant; else somebody has to choose.")
    candidates = CandidateShape(many=True, help_text="The surest first.")


class AskShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    example = serializers.CharField()


class TemplateShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    title = serializers.CharField()
    connector = serializers.CharField()
    summary = serializers.CharField()
    documentation = serializers.CharField(help_text="An address of the service's own.")
    access = serializers.CharField(help_text="Where its token comes from.")
    asks = serializers.SerializerMethodField(help_text="What only whoever adds the source knows; given in `params`.")
    params = serializers.DictField(help_text="What is asked for stands in them in braces.")

    @extend_schema_field(AskShape(many=True))
    def get_asks(self, template: Template) -> list[dict[str, str]]:
        return [{"name": name, **each.model_dump()} for name, each in template.asks.items()]


class ChosenBody(serializers.Serializer[Any]):
    name = serializers.CharField()
    config = serializers.DictField(
        required=False,
        default=dict,
        help_text="Any of settings, columns, select, row_filter, cursor, lookback; the rest is as it is found.",
    )
    types = serializers.DictField(
        child=serializers.CharField(), required=False, default=dict, help_text="Types of single columns, by name."
    )


class UnsavedBody(serializers.Serializer[Any]):
    """A source that is not there yet."""

    connector = serializers.CharField()
    params = serializers.DictField(required=False, default=dict, help_text="Secrets among them.")
    credential = serializers.CharField(required=False, help_text="Slug of a credential that several sources share.")
    text = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=LONGEST,
        trim_whitespace=False,
        write_only=True,
        help_text="What `detect` was given: it tells the parameters that `params` does not name, secrets among them.",
    )
    template = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        write_only=True,
        help_text="A template that tells the parameters which `params` does not name; what it asks for is in `params`.",
    )


class StreamOffersBody(UnsavedBody):
    streams = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Look into these only; all, where it is left out."
    )


class StreamSampleBody(UnsavedBody):
    stream = ChosenBody()


class NewSourceBody(UnsavedBody, SourceBody):
    streams = ChosenBody(
        many=True,
        required=False,
        help_text="With streams the source is tested, and stored with them or not at all; without, it is stored as it "
        "is given.",
    )


class TriedSourceShape(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    seconds = serializers.FloatField()
    stages = StageShape(many=True)


class StreamOfferShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    columns = ColumnShape(many=True)
    primary_key = serializers.ListField(child=serializers.CharField())
    cursor_candidates = serializers.ListField(
        child=serializers.CharField(), help_text="Columns by which new rows can be known, the best first."
    )
    rows = serializers.IntegerField(allow_null=True, help_text="About how many.")
    bytes = serializers.IntegerField(allow_null=True)
    settings = serializers.DictField(help_text="How it would be read, such as the pattern of its files.")
    warnings = serializers.ListField(child=serializers.CharField())


class StreamSampleShape(serializers.Serializer[Any]):
    columns = ColumnShape(many=True)
    rows = PreviewShape(allow_null=True)
    tried = TriedShape()
