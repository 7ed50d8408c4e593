"""How the console draws runs: the strip of the last ones, as bars that lead to them."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from manifold.console.templatetags.console import run_tone, seconds

register = template.Library()

_EMPTY = mark_safe('<i class="none"></i>')
_LEAST = 22  # per cent: the bar of the shortest run can still be seen and hit


@register.simple_tag
def strip(line: Any, project: str) -> SafeString:
    """The last runs of a pipeline, the newest at the right: coloured by outcome, as high as they took long."""
    longest = max((each.seconds or 0 for each in line.recent), default=0)
    below = reverse("console:runs", args=[project])
    bars = [_bar(each, below, longest) for each in line.recent]
    name = f"The last {len(bars)} runs of {line.pipeline.slug}" if bars else f"{line.pipeline.slug} has not run yet"
    inside = mark_safe("".join([*[_EMPTY] * len(line.padding), *bars]))  # noqa: S308  see _bar
    return format_html('<div class="strip" role="group" aria-label="{}">{}</div>', name, inside)


def _bar(run: Any, below: str, longest: float) -> str:
    """Lengths differ by orders of magnitude, so the root of the part of the longest decides.

    A page has a thousand bars, so only what may hold a sign of HTML is escaped: `< 1 ms`.
    """
    part = ((run.seconds or 0) / longest) ** 0.5 if longest else 1
    height = 100 if run.seconds is None else _LEAST + round((100 - _LEAST) * part)
    moment = run.created_at
    outcome = "" if run.outcome == "clean" else f", {run.outcome}"
    took = "" if run.seconds is None else f" in {seconds(run.seconds)}"
    said = escape(f"{run.state}{outcome}{took} · {moment.day} {moment:%b %Y, %H:%M} UTC")
    tone = run_tone(run) or "mute"
    return f'<a class="{tone}" href="{below}{run.id}/" style="height:{height}%" title="{said}" tabindex="-1"></a>'
