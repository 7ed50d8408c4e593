"""What a browser would send of the fields on a page, as they are filled."""

from __future__ import annotations

from html.parser import HTMLParser


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self.lines: str | None = None
        self.choice: str | None = None
        self.option = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        name = told.get("name") or ""
        if tag == "input" and name and (told.get("type") != "checkbox" or "checked" in told):
            self.sent[name] = told.get("value") or ("on" if told.get("type") == "checkbox" else "")
        elif tag in ("textarea", "select") and name:
            self.sent[name] = ""
            self.lines, self.choice = (name, None) if tag == "textarea" else (None, name)
        elif tag == "option" and self.choice and "selected" in told:
            self.option = "value" not in told
            self.sent[self.choice] = told.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self.lines:
            # The first line of a textarea that is empty is not shown, and not sent.
            self.sent[self.lines] += data if self.sent[self.lines] else data.removeprefix("\n")
        elif self.choice and self.option:
            self.sent[self.choice], self.option = data, False

    def handle_endtag(self, tag: str) -> None:
        if tag in ("textarea", "select"):
            self.lines = self.choice = None


def filled(page: str) -> dict[str, str]:
    """The fields of a page by their names; of a select what is chosen, and nothing of a box that is not ticked."""
    fields = _Fields()
    fields.feed(page)
    return fields.sent
