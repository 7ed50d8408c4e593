"""One log line, one event: readable on a terminal, JSON in files; secrets never reach either."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api_?key|master_?key|private_?key|credential|authorization|cookie", re.I
)
_NAMES = r"(?:\b|_)(?:password|passwd|secret|token|api_?key)"
_QUOTED = r"'[^']*'|\"[^\"]*\""
# What is hidden inside a text: the password of an address, a bearer token, a `password=…` of a connection string,
# a `"password": "…"` of a document, a `PASSWORD '…'` of a statement.
_SECRET_TEXT = [
    (re.compile(r"(\w[\w+.-]*://[^\s:/@]*:)[^\s@/]+@"), r"\1" + HIDDEN + "@"),
    (re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+"), r"\1" + HIDDEN),
    (re.compile(rf"(?i)({_NAMES}[\"']?\s*[=:]\s*)({_QUOTED}|[^\s,;&'\"]+)"), r"\1" + HIDDEN),
    (re.compile(rf"(?i)({_NAMES}\s+)({_QUOTED})"), r"\1" + HIDDEN),
]


def redact_text(text: str) -> str:
    """The text without passwords in addresses, bearer tokens and `password=…` pairs."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any) -> Any:
    """The value with every secret in it hidden: by the name of its key, or by its shape inside a text."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {key: HIDDEN if _SECRET_NAME.search(str(key)) else redact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [redact(inner) for inner in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return value


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor; runs after tracebacks have become text, so that they are cleaned as well."""
    internal = {key: event.pop(key) for key in ("_record", "_from_structlog") if key in event}
    cleaned: dict[str, Any] = redact(event)
    return {**cleaned, **internal}


def _processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
    ]


def logging_config(level: str, log_format: str) -> dict[str, Any]:
    """Django's LOGGING: everything goes to standard error, where the supervisor or the container collects it."""
    readable = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(default=str)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "event": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*_processors()[:3], structlog.stdlib.ExtraAdder(), *_processors()[4:-1]],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact_event, renderer],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "event"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "django.request": {"level": "ERROR"},
            "httpx": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            # A line for every tick says nothing.
            "celery.beat": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
        },
    }


def configure_structlog() -> None:
    """Send structlog's own loggers through the standard library, so that both kinds of line look alike."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
