"""The shapes of columns that have changed: what became of each, and how somebody takes a change over."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from apps.sources.models import Drift
from dataplane.drift import KINDS, POLICIES


@extend_schema_serializer(component_name="RenameCandidate")
class RenameShape(serializers.Serializer[Any]):
    column = serializers.CharField()
    score = serializers.FloatField(help_text="0 to 1.")


class InsideShape(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(list(KINDS))
    column = serializers.CharField(help_text="Such as address.zip, or items[].sku in a list.")
    before = serializers.CharField(allow_blank=True, help_text="Its type; empty for a new one.")
    after = serializers.CharField(allow_blank=True, help_text="Its type; empty for one that has gone.")


class ChangeShape(InsideShape):
    column = serializers.CharField()
    inside = InsideShape(many=True, default=list, help_text="What became of the parts of a nested column.")
    candidates = RenameShape(many=True, help_text="What a column that has gone may be called now, likeliest first.")


class DriftShape(serializers.ModelSerializer[Drift]):
    stream = serializers.CharField(source="stream.name", read_only=True)
    state = serializers.ChoiceField(
        ["followed", "asked", "stopped"], help_text="`asked`: a run waits; `stopped`: runs fail until it is taken over."
    )
    changes = ChangeShape(many=True)
    renames = serializers.DictField(
        child=serializers.CharField(), help_text="What columns that have gone are called now, as somebody has said."
    )

    class Meta:
        model = Drift
        fields = ["id", "stream", "found_at", "run", "state", "changes", "renames", "settled_by", "seen_at", "seen_by"]


class AcceptBody(serializers.Serializer[Any]):
    renames = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        default=dict,
        help_text="Columns that have gone, with what they are called now; they go on arriving under their old names.",
    )
    remember = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Follow changes of these kinds from now on (role Admin).",
    )


def policy_field(*, blank: bool) -> serializers.ChoiceField:
    """What a run does when columns have changed; of a stream empty where its source says it."""
    text = "What a run does when columns have changed." + (" Empty: what the source says." if blank else "")
    return serializers.ChoiceField(
        [*([""] if blank else []), *POLICIES], required=False, allow_blank=blank, help_text=text
    )
