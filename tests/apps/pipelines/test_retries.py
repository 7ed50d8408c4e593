"""Retries: what a policy does and says, and its part of the document, by page and API."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.audit.refusals import Conflict
from apps.pipelines import document, retries, rewriting, services
from apps.pipelines import text as texts
from apps.pipelines.models import Pipeline
from apps.pipelines.parts import Retry
from dataplane.errors import ConfigurationError, TransientError
from tests.apps.pipelines.shelf import TEXT
from tests.people import Api, signed_in

PAGE = "/p/flights/pipelines/orders/retries/"
ADDRESS = "/api/v1/projects/flights/pipelines/orders/retries/"
FULL = {"attempts": 3, "delays": [60, 300], "on": ["transient"]}
NETWORK, REST = "faults of networks and servers", "faults of the machine, wrong passwords and settings or wrong data"


@pytest.mark.parametrize(
    ("policy", "waits", "says"),
    [
        (
            {},
            [10, 60],
            f"Tried again after 10 s, 1 min for {NETWORK} and faults of the machine; "
            "not for wrong passwords and settings or wrong data.",
        ),
        (
            {"attempts": 5, "delays": [0.5, 3600], "on": ["transient", "authentication"]},
            [0.5, 3600, 3600, 3600],
            f"Tried again after 0.5 s, 1 h (3 times) for {NETWORK} and `authentication`; for nothing else.",
        ),
        (
            {"attempts": 3, "delays": [5400, 86400], "on": ["transient"]},
            [5400, 86400],
            f"Tried again after 90 min, 1 day for {NETWORK}; not for {REST}.",
        ),
        ({"attempts": 2, "delays": [90], "on": list(retries.CLASSES)}, [90], None),
        ({"attempts": 1}, [], "Never tried again."),
        ({"on": []}, [], "Never tried again."),
    ],
)
def test_a_policy_does_what_it_says(policy: dict[str, Any], waits: list[float], says: str | None) -> None:
    found = Retry.model_validate(policy)
    gone = TransientError("It is gone.", code="connection_lost")
    tried = [retries.delay(found, gone, attempt) for attempt in range(1, found.attempts + 1)]
    assert tried == [*waits, *[None] * (found.attempts - len(waits))]
    assert retries.waits(found) == waits
    assert says in (None, retries.words(found))
    wrong = ConfigurationError("The password is wrong.", code="authentication")
    again = bool(waits) and bool({"configuration", "authentication"} & set(found.on))
    assert (retries.delay(found, wrong, 1) is not None) == again


@pytest.mark.parametrize(
    ("seconds", "says"), [(12345.678, "12345.678 s"), (1036790, "1036790 s"), (86400, "1 day"), (172800, "2 days")]
)
def test_a_time_is_told_with_all_its_digits(seconds: float, says: str) -> None:
    assert retries.long(seconds) == says


BLOCK = """manifold: 1
steps:  # all
  a:
    extract: {source: s, stream: t}  # reads
    # after it
    timeout: 60
  b: {load: {input: a, dataset: d}, retry: {attempts: 2}, if_failed: stop}  # keeps

  # the last
  c: {retry: {attempts: 2}, sql: {inputs: {a: a}, query: "SELECT 1"}}
  e:
    retry:
      attempts: 2
      # slowly
      delays: [3600]
    check: {input: a, rules: []}
# the end"""
EDITED = [
    (("retry",), "# the end", "  # the last", "    check: {input: a, rules: []}\nretry: NEW\n# the end"),
    (("steps", "a", "retry"), "timeout: 60", "# after it", "    timeout: 60\n    retry: NEW\n"),
    (("steps", "b", "retry"), "{attempts: 2}, if", "# keeps", "dataset: d}, retry: NEW, if_failed: stop}  # keeps"),
    (("steps", "c", "retry"), "{retry", "# the last", "  c: {retry: NEW, sql"),
    (("steps", "e", "retry"), "", "# the end", "  e:\n    retry: NEW\n    check"),
]


@pytest.mark.parametrize(("path", "near", "kept", "expected"), EDITED, ids=[".".join(each[0]) for each in EDITED])
def test_a_part_is_written_where_it_belongs(path: tuple[str, ...], near: str, kept: str, expected: str) -> None:
    """What a text says else is the same, and its comments stay; taken out again, nothing of it is left."""
    assert near in BLOCK
    changed = rewriting.with_part(BLOCK, path, FULL)
    assert expected.replace("NEW", "{attempts: 3, delays: [60, 300], on: [transient]}") in changed
    assert kept in changed
    out = rewriting.with_part(changed, path, None)
    assert "attempts: 3" not in out
    assert rewriting.with_part(out, path, None) == out
    assert texts.said(rewriting.with_part(out, path, FULL)) == texts.said(changed)


def test_a_document_in_json_is_changed_too() -> None:
    assert rewriting.with_part('{"manifold": 1}', ["retry"], {"attempts": 1}) == '{"manifold": 1, retry: {attempts: 1}}'


@pytest.mark.parametrize("text", ["", "steps: [", "steps: {a: 1}", "steps:\n  a:\n", "steps: {a: {}}", "a: \x07"])
def test_a_text_that_cannot_be_changed_is_left_to_a_person(text: str) -> None:
    with pytest.raises(Conflict, match="in the editor"):
        rewriting.with_part(text, ["steps", "a", "retry"], FULL)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("transiant", "Did you mean `transient`?"),
        ("conection_lost", "Did you mean `connection_lost`?"),
        ("qqqq", "Classes are: transient, "),
    ],
)
def test_a_name_that_no_error_has_is_refused_and_what_is_stored_still_runs(name: str, remedy: str) -> None:
    wrong = TEXT.replace("dataset: orders}}", f"dataset: orders}}, retry: {{on: [{name}]}}}}")
    found, (problem,) = document.parse(wrong)
    assert (found, problem.path, problem.message) == (
        None,
        "steps.kept.retry.on[0]",
        f"No error has the name `{name}`.",
    )
    assert (problem.line, problem.remedy.startswith(remedy)) == (wrong[: wrong.rindex("retry")].count("\n") + 1, True)
    right, _ = document.parse(wrong.replace(name, "transient"))
    assert right is not None
    stored = right.as_json()
    stored["steps"]["kept"]["retry"]["on"] = [name]
    assert document.load(stored).steps["kept"].settings.retry == Retry(on=(name,))


def drafted(pipeline: Pipeline) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What the draft says of the whole and of the step `kept`, right as a whole."""
    pipeline.refresh_from_db()
    found, problems = document.parse(services.text_of(pipeline))
    assert found is not None, problems
    said = texts.said(services.text_of(pipeline))
    return said.get("retry"), said["steps"]["kept"].get("retry")


FORM = {"when": "own", "attempts": "3", "delays": "1 min, 300", "on": ["transient"], "codes": ""}


@pytest.mark.django_db
def test_the_form_edits_the_document_and_shows_what_it_saved(operator: User, pipeline: Pipeline) -> None:
    ask = signed_in(operator)
    assert "10 s, 1 min, 5 min" in ask.get(PAGE).content.decode()
    answer = ask.post(PAGE, FORM)
    assert (answer.status_code, answer.headers["Location"]) == (302, PAGE)
    assert drafted(pipeline) == (FULL, None)
    own = FORM | {"attempts": "2", "delays": "0.5 h", "codes": "check_failed, authentication"}
    ask.post(f"{PAGE}?step=kept", own | {"codes": "check_failed, transient, authentication"})
    wanted = {"attempts": 2, "delays": [1800], "on": ["transient", "check_failed", "authentication"]}
    assert drafted(pipeline) == (FULL, wanted)
    page = ask.get(f"{PAGE}?step=kept")
    assert page.context["fields"] == own | {"delays": "30 min", "attempts": 2, "codes": "check_failed, authentication"}
    assert "Tried again after 30 min" in page.content.decode()
    ask.post(f"{PAGE}?step=kept", {"when": "inherit"})
    ask.post(PAGE, {"when": "never"})
    whole, own_again = drafted(pipeline)
    assert whole is not None and (whole["attempts"], own_again) == (1, None)
    assert "Never tried again" in ask.get(PAGE).content.decode()
    assert pipeline.draft.startswith("# mine\n")


@pytest.mark.django_db
def test_the_page_reads_a_document_once_for_all_its_steps(
    operator: User, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, times = texts.read, []

    def counted(text: str) -> Any:
        times.append(text)
        return read(text)

    monkeypatch.setattr(texts, "read", counted)
    page = signed_in(operator).get(PAGE)
    assert [key for key, _, _ in page.context["lines"]] == ["orders", "kept"]
    assert len(times) == 1


@pytest.mark.django_db
def test_what_is_said_already_stays_as_it_is_written(admin: User, pipeline: Pipeline) -> None:
    signed_in(admin).post(PAGE, FORM | {"delays": "10, 60, 300", "on": ["transient", "infrastructure"]})
    pipeline.refresh_from_db()
    assert not pipeline.draft


@pytest.mark.django_db
def test_a_wrong_form_keeps_what_was_written_and_says_why(operator: User, pipeline: Pipeline) -> None:
    ask = signed_in(operator)
    for wrong, said in [
        ({"delays": "5 parsecs"}, "is no time"),
        ({"attempts": ""}, "is no number of attempts"),
        ({"attempts": "99"}, "less than or equal to 20"),
    ]:
        answer = ask.post(PAGE, FORM | wrong)
        assert answer.status_code == 422
        assert said in answer.content.decode()
        assert f'value="{next(iter(wrong.values()))}"' in answer.content.decode()
    pipeline.refresh_from_db()
    assert not pipeline.draft
    assert ask.get(f"{PAGE}?step=nothing").status_code == 404


@pytest.mark.django_db
def test_never_keeps_what_was_written_for_when_it_is_switched_back(operator: User, pipeline: Pipeline) -> None:
    ask = signed_in(operator)
    ask.post(PAGE, FORM)
    ask.post(PAGE, FORM | {"when": "never", "attempts": ""})
    assert drafted(pipeline)[0] == FULL | {"attempts": 1}
    ask.post(PAGE, FORM | {"when": "never", "delays": "5 parsecs"})
    assert drafted(pipeline)[0] == {"attempts": 1, "delays": [10, 60, 300], "on": ["transient", "infrastructure"]}


@pytest.mark.django_db
def test_nobody_publishes_or_overwrites_what_came_after_the_page(admin: User, pipeline: Pipeline) -> None:
    ask = signed_in(admin)
    begun = ask.get(PAGE).context["begun_from"]
    other = services.text_of(pipeline) + "# other\n"
    services.save_draft(pipeline, other, actor=SYSTEM)
    for form in ({"when": "never"}, FORM | {"delays": "10, 60, 300", "on": ["transient", "infrastructure"]}):
        told = ask.post(PAGE, {**form, "do": "publish", "begun_from": begun})
        assert told.status_code == 409
        assert "It is not saved" in told.text
    pipeline.refresh_from_db()
    assert pipeline.draft == other
    again = {"when": "never", "do": "publish", "begun_from": told.context["begun_from"]}
    assert ask.post(PAGE, again).status_code == 302
    assert "Never tried again" in ask.get("/p/flights/pipelines/orders/").text


@pytest.mark.django_db
def test_a_draft_that_is_wrong_elsewhere_keeps_the_retries_and_says_so(admin: User, pipeline: Pipeline) -> None:
    services.save_draft(pipeline, services.text_of(pipeline) + "nothing: 1\n", actor=SYSTEM)
    page = signed_in(admin).post(PAGE, {"when": "never", "do": "publish"})
    assert page.status_code == 422
    assert "It is in the draft, which cannot be published yet" in page.text
    pipeline.refresh_from_db()
    assert "attempts: 1" in pipeline.draft
    assert "nothing: 1" in pipeline.draft


@pytest.mark.django_db
@pytest.mark.parametrize("address", [PAGE, f"{PAGE}?step=kept"], ids=["whole", "step"])
def test_a_draft_that_cannot_be_read_is_not_shown_as_one_that_says_nothing(
    address: str, operator: User, pipeline: Pipeline
) -> None:
    services.save_draft(pipeline, services.text_of(pipeline) + "nothing: [", actor=SYSTEM)
    page = signed_in(operator).get(address)
    assert page.status_code == 200
    assert "The draft cannot be read" in page.text
    assert "This is no YAML" in page.text
    assert "retry-form" not in page.text


@pytest.mark.django_db
def test_the_preview_says_what_the_form_means(viewer: User, pipeline: Pipeline) -> None:
    ask, place = signed_in(viewer), "/p/flights/retry-preview/"
    shown = ask.post(place, FORM | {"delays": "1 min, 5 min", "attempts": "4"}).content.decode()
    assert "11 min of waiting in all" in shown
    assert "Tried again after 1 min, 5 min (2 times)" in shown
    assert "2 days of waiting in all" in ask.post(place, FORM | {"delays": "1 days"}).text
    assert "as its pipeline says" in ask.post(place, {"when": "inherit"}).content.decode()
    assert "retry.delays" in ask.post(place, FORM | {"delays": ""}).content.decode()


@pytest.mark.django_db
def test_publishing_takes_an_administrator(operator: User, admin: User, pipeline: Pipeline) -> None:
    assert signed_in(operator).post(PAGE, FORM | {"do": "publish"}).status_code == 403
    with CaptureQueriesContext(connection) as done:
        signed_in(admin).post(PAGE, FORM | {"do": "publish"})
    said = [each["sql"] for each in done.captured_queries]
    written = next(number for number, sql in enumerate(said) if '"draft" = ' in sql)
    published = next(number for number, sql in enumerate(said) if 'INTO "pipelines_pipelineversion"' in sql)
    assert not any(sql.startswith("RELEASE") for sql in said[written:published]), "a draft of others could come between"
    assert "Tried again after 1 min, 5 min" in signed_in(admin).get("/p/flights/pipelines/orders/").content.decode()


@pytest.mark.django_db
def test_the_api_shows_what_is_published_and_writes_the_draft(api: Api, operator: User, pipeline: Pipeline) -> None:
    ask = api(operator)
    shown = ask.get(ADDRESS).json()
    assert shown["policy"]["waits"] == [10, 60]
    assert [(each["key"], each["own"]) for each in shown["steps"]] == [("orders", False), ("kept", False)]
    draft = ask.put(ADDRESS, {"retry": {"attempts": 4}, "step": "kept"}).json()["draft"]
    assert "dataset: orders}, retry: {attempts: 4, delays: [10, 60, 300], on: [transient, infrastructure]}}" in draft
    services.publish_draft(pipeline, actor=SYSTEM)
    own = ask.get(ADDRESS).json()["steps"][1]
    assert (own["own"], own["policy"]["waits"]) == (True, [10, 60, 300])
    none = TEXT.replace("dataset: orders}}", "dataset: orders}, retry: null}")
    services.apply_document(pipeline.project, none, actor=SYSTEM, publish=True)
    assert "retry: null" in none
    assert not ask.get(ADDRESS).json()["steps"][1]["own"]
    for body, field in [
        ({"retry": {"attempts": 0}}, "retry.attempts"),
        ({"retry": {"attempt": 2}, "step": "kept"}, "steps.kept.retry.attempt"),
        ({"retry": {"on": ["data", "transiant"]}}, "retry.on[1]"),
        ({"retry": None, "step": "gone"}, "step"),
    ]:
        answer = ask.put(ADDRESS, body)
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (400, [field])


@pytest.mark.django_db
def test_a_pipeline_without_a_version_has_no_policy_yet(api: Api, operator: User, project: Project) -> None:
    services.create_pipeline(project, "orders", text=TEXT, actor=SYSTEM)
    assert api(operator).get(ADDRESS).json() == {"pipeline": "orders", "policy": None, "steps": []}
