"""The OpenAPI document: what drf-spectacular finds, and the problems that every operation may answer."""

from __future__ import annotations

from typing import Any

_METHODS = ("get", "put", "post", "patch", "delete")
_PROBLEMS = {
    "400": "The request is not valid; `errors` names the fields.",
    "401": "Nobody is signed in, or the token is not good.",
    "403": "Your role does not allow this.",
    "404": "It is not there, or you may not see it.",
    "409": "It conflicts with the state that things are in.",
    "429": "Too many requests; see Retry-After.",
    "503": "Something this needs does not answer; see Retry-After.",
    "default": "Any other refusal.",
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "errors", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "field": {"type": "string"},
                    "path": {"type": "string"},
                    "line": {"type": "integer"},
                    "column": {"type": "integer"},
                    "message": {"type": "string"},
                    "remedy": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string"},
        "code": {"type": "string"},
        "evidence": {"type": "object", "additionalProperties": {}},
        "suggestions": {"type": "array", "items": {"type": "object", "additionalProperties": {}}},
    },
}


def document_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's postprocessing hook: the same problems for each operation that does not say otherwise."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in result["paths"].values():
        for method in _METHODS:
            responses = path.get(method, {}).get("responses")
            if responses is not None:
                for status, description in _PROBLEMS.items():
                    responses.setdefault(status, {"description": description, "content": content})
    return result
