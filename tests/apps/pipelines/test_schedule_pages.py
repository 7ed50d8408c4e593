"""The page of a schedule and its part of the pipeline's page: forms that edit the document, and what they show."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.models import User
from apps.audit.context import SYSTEM
from apps.pipelines import document, services
from apps.pipelines.models import Pipeline, Schedule
from tests.apps.pipelines.shelf import TEXT
from tests.people import signed_in

pytestmark = pytest.mark.django_db
PAGE = "/p/flights/pipelines/orders/"


def drafted(pipeline: Pipeline) -> dict[str, Any]:
    pipeline.refresh_from_db()
    found, problems = document.parse(pipeline.draft or pipeline.published.text)  # type: ignore[union-attr]
    assert found is not None, problems
    schedule = found.header.schedule
    return {} if schedule is None else schedule.model_dump(mode="json", exclude_defaults=True)


FORMS = [
    ({"when": "hourly", "minute": "5"}, {"preset": "hourly", "at": 5}),
    (
        {"when": "daily", "at": "06:30", "timezone": "Europe/Berlin"},
        {"preset": "daily", "at": "06:30", "timezone": "Europe/Berlin"},
    ),
    ({"when": "weekly", "at": "06:30", "weekday": "friday"}, {"preset": "weekly", "at": "06:30", "on": "friday"}),
    ({"when": "monthly", "day": "last", "at": "00:00"}, {"preset": "monthly", "at": "00:00", "on": "last"}),
    ({"when": "monthly", "day": "15"}, {"preset": "monthly", "on": 15}),
    ({"when": "cron", "cron": "*/5 8-17 * * 1-5", "at": "06:00"}, {"cron": "*/5 8-17 * * 1-5"}),
    ({"when": "interval", "minutes": "1.5", "new_files": "on"}, {"interval": 90, "new_files": True}),
    (
        {"when": "daily", "weekends": "on", "holidays": "DE-BY", "missed": "all", "at_most": "3", "if_running": "skip"},
        {
            "preset": "daily",
            "pause": {"weekends": True, "holidays": "DE-BY"},
            "missed": "all",
            "missed_at_most": 3,
            "if_running": "skip",
        },
    ),
    (
        {"when": "daily", "start": "2026-01-01", "end": "2026-12-31", "within": "60"},
        {"preset": "daily", "start": "2026-01-01", "end": "2026-12-31", "start_within": 60},
    ),
    ({"when": "never", "at": "06:00"}, {}),
]


@pytest.mark.parametrize(("form", "says"), FORMS)
def test_the_form_edits_the_document(
    operator: User, pipeline: Pipeline, form: dict[str, str], says: dict[str, Any]
) -> None:
    answer = signed_in(operator).post(f"{PAGE}schedule/", form)
    assert (answer.status_code, answer.headers["Location"]) == (302, PAGE)
    assert drafted(pipeline) == says
    assert (pipeline.draft or TEXT).startswith(("# mine\n", "manifold"))
    shown = signed_in(operator).get(f"{PAGE}schedule/").content.decode()
    assert f'<option value="{form["when"]}" selected>' in shown


def test_what_the_form_shows_is_what_it_saves(operator: User, pipeline: Pipeline) -> None:
    for _, says in FORMS[:-1]:
        services.save_draft(pipeline, f"{TEXT}schedule: {says!r}\n".replace("True", "true"), actor=SYSTEM)
        page = signed_in(operator).get(f"{PAGE}schedule/")
        fields = {name: str(value) for name, value in page.context["fields"].items() if value not in (None, False, "")}
        fields["minutes"] = str(page.context["fields"]["minutes"])
        assert signed_in(operator).post(f"{PAGE}schedule/", fields).status_code == 302
        assert drafted(pipeline) == says


def test_a_wrong_form_keeps_what_was_written_and_says_why(operator: User, pipeline: Pipeline) -> None:
    answer = signed_in(operator).post(f"{PAGE}schedule/", {"when": "cron", "cron": "61 * * * *"})
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "no cron expression" in text
    assert 'value="61 * * * *"' in text
    pipeline.refresh_from_db()
    assert not pipeline.draft


def test_who_saves_second_is_told(operator: User, pipeline: Pipeline) -> None:
    ask, place = signed_in(operator), f"{PAGE}schedule/"
    begun = ask.get(place).context["begun_from"]
    services.save_draft(pipeline, services.text_of(pipeline) + "# other\n", actor=SYSTEM)
    hourly = {"when": "hourly", "minute": "5"}
    told = ask.post(place, {**hourly, "begun_from": begun})
    assert (told.status_code, "It is not saved" in told.text) == (409, True)
    assert drafted(pipeline) == {}
    assert ask.post(place, {**hourly, "begun_from": told.context["begun_from"]}).status_code == 302
    assert "schedule: {preset: hourly" in services.text_of(Pipeline.objects.get(pk=pipeline.pk))


def test_a_draft_that_cannot_be_read_is_not_shown_as_one_without_a_schedule(operator: User, pipeline: Pipeline) -> None:
    services.save_draft(pipeline, services.text_of(pipeline) + "nothing: [", actor=SYSTEM)
    page = signed_in(operator).get(f"{PAGE}schedule/").text
    assert "The draft cannot be read" in page
    assert "schedule-form" not in page


def test_the_preview_shows_moments_or_what_is_wrong(viewer: User, pipeline: Pipeline) -> None:
    ask = signed_in(viewer)
    good = ask.post("/p/flights/schedule-preview/", {"when": "daily", "at": "06:00", "timezone": "Asia/Kolkata"})
    assert good.content.decode().count("data-yours") == 5
    assert "06:00 IST" in good.content.decode()
    wrong = ask.post("/p/flights/schedule-preview/", {"when": "daily", "at": "26:00"})
    assert "schedule.at" in wrong.content.decode()
    assert "only when somebody" in ask.post("/p/flights/schedule-preview/", {"when": "never"}).content.decode()


def test_an_administrator_publishes_and_switches_on(admin: User, pipeline: Pipeline) -> None:
    ask = signed_in(admin)
    assert "It starts only when somebody" in ask.get(PAGE).content.decode()
    ask.post(f"{PAGE}schedule/", {"when": "hourly", "minute": "5", "do": "publish"})
    page = ask.get(PAGE).content.decode()
    assert "At 5 minutes past the hour" in page
    assert "Switch on" in page
    ask.post(f"{PAGE}schedule/switch/", {"enabled": "yes"})
    assert Schedule.objects.get().enabled
    assert "Switch off" in ask.get(PAGE).content.decode()
    ask.post(f"{PAGE}schedule/switch/", {"enabled": "no"})
    assert not Schedule.objects.get().enabled


def test_publishing_takes_an_administrator(operator: User, pipeline: Pipeline) -> None:
    answer = signed_in(operator).post(f"{PAGE}schedule/", {"when": "hourly", "do": "publish"})
    assert answer.status_code == 403
    pipeline.refresh_from_db()
    assert not pipeline.draft


def test_the_card_speaks_of_the_draft_only_where_that_says_another_schedule(pipeline: Pipeline, admin: User) -> None:
    """A default that is written out is no other schedule."""
    text = f"{TEXT}schedule: {{preset: daily, at: 06:00, timezone: UTC, missed: last}}\n"
    services.apply_document(pipeline.project, text, actor=SYSTEM, publish=True)
    assert "The draft says another schedule" not in signed_in(admin).get(PAGE).content.decode()
    services.save_draft(pipeline, text.replace("title: Orders", "title: All orders"), actor=SYSTEM)
    assert "The draft says another schedule" not in signed_in(admin).get(PAGE).content.decode()
    services.save_draft(pipeline, text.replace("06:00", "07:00"), actor=SYSTEM)
    assert "The draft says another schedule" in signed_in(admin).get(PAGE).content.decode()


def test_the_form_offers_every_country_whose_holidays_are_known(pipeline: Pipeline, operator: User) -> None:
    page = signed_in(operator).get(f"{PAGE}schedule/").content.decode()
    assert '<option value="DE">Germany</option>' in page
    assert page.count('<option value="US">') == 1
