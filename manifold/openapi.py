"""The OpenAPI document: what drf-spectacular finds, and the problems that each operation may answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema

from apps.accounts.api_base import ProjectViewSet

CONTENT_TYPE = "application/problem+json"
_PROBLEMS = {
    400: "The request is not valid; `errors` names the fields.",
    401: "Nobody is signed in, or the token is not good.",
    403: "Your role does not allow this.",
    404: "It is not there, or you may not see it.",
    406: "The answer has another media type than those that are accepted.",
    409: "It conflicts with the state that things are in.",
    415: "The body has another media type than `application/json`.",
    422: "The data does not allow it.",
    429: "Too much is asked at once, or too many unknown tokens came from this address; see Retry-After.",
    503: "Something this needs does not answer; see Retry-After.",
}
_TEXT = {"type": "string"}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "errors", "request_id"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "field": _TEXT,
                    "path": _TEXT,
                    "line": {"type": "integer"},
                    "column": {"type": "integer"},
                    "message": _TEXT,
                    "remedy": _TEXT,
                },
            },
        },
        "request_id": _TEXT,
        "code": _TEXT,
        "evidence": {"type": "object", "additionalProperties": {}},
        "suggestions": {"type": "array", "items": {"type": "object", "additionalProperties": {}}},
    },
}


class Schema(AutoSchema):
    """Adds to each operation's own answers the problems that can come in their place, and no others."""

    def get_tags(self) -> list[str]:
        return self._words()[:1]

    def get_operation_id(self) -> str:
        """`projects_list`, `project_runs_cancel`: the words of the address, and what is done there."""
        words = [*(["project"] if "{project}" in self.path else []), *self._words()]
        done = str(getattr(self.view, "action", ""))
        return "_".join([*words, done] if words[-1].replace("-", "_") != done else words).replace("-", "_")

    def _words(self) -> list[str]:
        words = self.path.removeprefix("/api/v1/").strip("/").split("/")
        return [each for each in words[2 if "{project}" in words else 0 :] if "{" not in each]

    def _get_serializer_name(self, serializer: Any, *args: Any, **options: Any) -> str:
        name: str = super()._get_serializer_name(serializer, *args, **options)
        return name.removesuffix("Shape")

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for status in self._problems():
            responses.setdefault(str(status), {"description": _PROBLEMS[status], "content": content})
        return dict(sorted(responses.items()))

    def _problems(self) -> list[int]:
        writes = self.method not in ("GET", "HEAD")
        needed = self.view.needed if isinstance(self.view, ProjectViewSet) else "see"
        found = [
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.NOT_ACCEPTABLE,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ]
        if "{" in self.path:
            found += [HTTPStatus.NOT_FOUND]
        if writes or self._get_parameters():
            found += [HTTPStatus.BAD_REQUEST]
        if writes or needed not in ("see", "read") or getattr(self.view, "only_administrators", False):
            found += [HTTPStatus.FORBIDDEN]
        if writes or getattr(self.view, "action", "") in getattr(self.view, "only_for_some", ()):
            found += [HTTPStatus.CONFLICT]
        if writes:
            found += [HTTPStatus.UNSUPPORTED_MEDIA_TYPE]
        if writes or needed == "read":
            found += [HTTPStatus.UNPROCESSABLE_ENTITY]
        return [int(each) for each in found]


def document_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's postprocessing hook: the shape that all problems have."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    return result
