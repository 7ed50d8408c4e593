"""What every page of the console has in common: who asks, in which project, and what they may do there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from apps.accounts.models import ROLES_FOR, Membership, Project, User
from apps.audit.refusals import Busy, Invalid
from apps.audit.visibility import Action
from dataplane.errors import ManifoldError

P = ParamSpec("P")
PersonView = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
ProjectView = Callable[Concatenate[HttpRequest, Project, P], HttpResponseBase]

logger = logging.getLogger(__name__)

_NO_SUCH = "There is nothing of that name."


@dataclass(frozen=True)
class May:
    """What the person who asks may do in the project; templates offer nothing that would be refused."""

    operate: bool
    manage: bool
    role: str


def memberships(request: HttpRequest) -> list[Membership]:
    """The memberships of whoever asks, with their projects; asked for once in a request."""
    if not hasattr(request, "_memberships"):
        found = Membership.objects.filter(user=request.user.pk).select_related("project").order_by("project__slug")
        setattr(request, "_memberships", list(found))  # noqa: B010  HttpRequest declares no such attribute
    return list(getattr(request, "_memberships", []))


def project_page(action: Action = "see") -> Callable[[ProjectView[P]], Callable[..., HttpResponseBase]]:
    """Open a page to the members of the project in its address who may do `action`.

    Whoever is signed out goes to sign in. A project that one may not see is not found; what one may not do there is
    refused. A ManifoldError of a service comes back as a toast to a form, as a page to a reader, in its own words.
    What a form names by no id at all is not found.
    """

    def decorate(view: ProjectView[P]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def inner(request: HttpRequest, project: str, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _sign_in(request)
            membership = next((each for each in memberships(request) if each.project.slug == project), None)
            if membership is None:
                raise Http404(f"There is no project {project}.")
            refuse_nul(request)
            _remember(request, membership)
            if membership.role not in ROLES_FOR[action]:
                raise _not_allowed(membership.role)
            try:
                return view(request, membership.project, **kwargs)  # type: ignore[call-arg]
            except ManifoldError as error:
                return _refused(request, error)
            except ValidationError:
                raise Http404(_NO_SUCH) from None

        return inner

    return decorate


def person_page(view: PersonView[P]) -> Callable[..., HttpResponseBase]:
    """Open a page to whoever is signed in; a ManifoldError of a service comes back as on `project_page`."""

    @wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _sign_in(request)
        refuse_nul(request)
        try:
            return view(request, *args, **kwargs)
        except ManifoldError as error:
            return _refused(request, error)
        except ValidationError:
            raise Http404(_NO_SUCH) from None

    return inner


def administrator_page(view: PersonView[P]) -> Callable[..., HttpResponseBase]:
    """Open a page above the projects to whoever administers the platform."""

    @wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not signed_in(request).administers_platform():
            raise PermissionDenied("Only superusers see this page. Ask one of them.")
        return view(request, *args, **kwargs)

    return person_page(inner)


def signed_in(request: HttpRequest) -> User:
    """The person who is signed in, as the model of this app."""
    assert isinstance(request.user, User)
    return request.user


def refuse_nul(request: HttpRequest) -> None:
    """Answer 400 to a text with a NUL character, which no column of PostgreSQL takes and no person enters."""
    for values in (request.GET, request.POST):
        if any("\0" in text for texts in values.lists() for text in (texts[0], *texts[1])):
            raise BadRequest("A text holds a NUL character.")


def is_polling(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def go(request: HttpRequest, url: str, said: str = "") -> HttpResponse:
    """Send the browser on after a form, with a toast."""
    if said:
        messages.success(request, said)
    if is_polling(request):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def said(error: ManifoldError) -> str:
    """The sentence of a refusal, without the field it is about: the form has one."""
    return str(error).removeprefix(f"{error.field}: ") if isinstance(error, Invalid) else str(error)


def _remember(request: HttpRequest, membership: Membership) -> None:
    may = May(
        operate=membership.role in ROLES_FOR["operate"],
        manage=membership.role in ROLES_FOR["manage"],
        role=membership.get_role_display(),
    )
    setattr(request, "project", membership.project)  # noqa: B010
    setattr(request, "may", may)  # noqa: B010
    if request.session.get("project") != membership.project.slug:
        request.session["project"] = membership.project.slug


def _sign_in(request: HttpRequest) -> HttpResponse:
    """A form that comes too late leads back to its page, since its own address is none."""
    if is_polling(request):
        return HttpResponse(status=401)
    if request.method in ("GET", "HEAD"):
        return redirect_to_login(request.get_full_path())
    messages.warning(request, "Your session has ended, and nothing was changed. Sign in, and send it once more.")
    return redirect_to_login(_page_of(request))


def _refused(request: HttpRequest, error: ManifoldError) -> HttpResponse:
    logger.info("refused: %s", error.code)
    if request.method != "POST":
        return render(request, "console/refused.html", {"error": error.as_json()}, status=status_of(error))
    messages.error(request, str(error))
    return go(request, _page_of(request))


def _page_of(request: HttpRequest) -> str:
    """The page that a form was sent from; the home page where that is not told, or is not ours."""
    sent = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(sent, {request.get_host()}, request.is_secure()):
        return "/"
    parts = urlsplit(sent)
    return parts._replace(scheme="", netloc="").geturl() or "/"


def status_of(error: ManifoldError, otherwise: int = 409) -> int:
    """The status of a page that tells of it: 429 for too much at once, 503 for what may work later."""
    if isinstance(error, Busy):
        return 429
    return 503 if error.retryable else otherwise


def _not_allowed(role: str) -> PermissionDenied:
    return PermissionDenied(
        f"Your role in this project, {role}, does not allow this. An administrator of the project can do it, or give "
        "you the role."
    )


def require(request: HttpRequest, action: Action) -> None:
    """Refuse a part of a page to those who may not do `action` in the project at hand."""
    may: May = getattr(request, "may", May(False, False, ""))
    if not {"operate": may.operate, "manage": may.manage}.get(action, bool(may.role)):
        raise _not_allowed(may.role.lower())
