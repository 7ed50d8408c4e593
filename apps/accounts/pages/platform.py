"""Above the projects, for superusers: who can sign in, and new projects."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import services
from apps.accounts.actors import actor_of
from apps.accounts.models import Membership, User
from apps.accounts.page_base import administrator_page, go, said, signed_in, status_of
from apps.accounts.services.lockout import locks
from apps.audit.refusals import Invalid
from dataplane.errors import ManifoldError


@sensitive_variables("password")
@never_cache
@require_http_methods(["GET", "POST"])
@administrator_page
def people(request: HttpRequest) -> HttpResponse:
    """Everybody. POST adds a person, whose password is shown in the answer and never again."""
    context: dict[str, object] = {"form": request.POST}
    if request.method == "POST":
        password = services.new_password()
        try:
            context["made"] = services.create_user(
                username=request.POST.get("username", "").strip(),
                password=password,
                email=request.POST.get("email", "").strip()[:254],
                superuser=request.POST.get("superuser") == "yes",
                actor=actor_of(request.user),
            )
            context |= {"password": password, "form": {}}
        except ManifoldError as error:
            context["refused"] = error.message
    found = list(User.objects.visible_to(signed_in(request)).select_related("second_factor").order_by("username"))
    held = {each.user.pk: each for each in locks(found)}
    context["people"] = [(each, held.get(each.pk)) for each in found]
    return render(request, "accounts/people.html", context, status=422 if "refused" in context else 200)


@sensitive_variables("password")
@never_cache
@require_http_methods(["GET", "POST"])
@administrator_page
def person(request: HttpRequest, username: str) -> HttpResponse:
    """One person. POST changes them, or makes a new password, which is shown in the answer and never again."""
    found, status = _person(request, username), 200
    context: dict[str, object] = {"email": found.email}
    if request.method == "POST":
        try:
            answer = _change_person(request, found, context)
        except ManifoldError as error:
            context |= {"refused": said(error), "email": request.POST.get("email", found.email)}
            answer, status = None, status_of(error, 422)
        if answer is not None:
            return answer
    context |= {"person": found, "mine": found.pk == request.user.pk}
    return render(request, "accounts/person.html", context, status=status)


def _change_person(request: HttpRequest, person: User, context: dict[str, object]) -> HttpResponse | None:
    actor, wanted = actor_of(request.user), request.POST.get("do")
    if wanted == "password":
        context["password"] = services.replace_password(person, by=signed_in(request), actor=actor)
        return None
    if wanted != "save":
        raise Invalid("do", "Choose what is to be done.")
    email, superuser = request.POST.get("email", "").strip()[:254], request.POST.get("superuser") == "yes"
    services.change_user(person, email=email, superuser=superuser, actor=actor)
    return go(request, reverse("console:people"), f"{person.username} is changed.")


@require_POST
@administrator_page
def active(request: HttpRequest, username: str) -> HttpResponse:
    wanted = request.POST.get("active") == "yes"
    user = services.set_active(_person(request, username), active=wanted, actor=actor_of(request.user))
    said = "may sign in again" if user.is_active else "is kept out: sessions and tokens stopped working"
    return go(request, reverse("console:people"), f"{username} {said}.")


@require_POST
@administrator_page
def unlock(request: HttpRequest, username: str) -> HttpResponse:
    services.unlock(_person(request, username), actor=actor_of(request.user))
    return go(request, reverse("console:people"), f"{username} may try again.")


@require_POST
@administrator_page
def end_sessions(request: HttpRequest, username: str) -> HttpResponse:
    """Whoever signs themselves out stays here."""
    person = _person(request, username)
    here = request.session.session_key if person.pk == request.user.pk else None
    ended = services.end_other_sessions(person, here, actor=actor_of(request.user))
    places = "one place" if ended == 1 else f"{ended} places"
    return go(request, reverse("console:people"), f"{username} is signed out in {places}.")


@require_POST
@administrator_page
def remove_factor(request: HttpRequest, username: str) -> HttpResponse:
    services.reset_factor(_person(request, username), by=signed_in(request), actor=actor_of(request.user))
    said = f"{username} signs in without a code now, and is signed out everywhere."
    return go(request, reverse("console:people"), said)


@require_http_methods(["GET", "POST"])
@administrator_page
def projects(request: HttpRequest) -> HttpResponse:
    """The projects one is in; others are their members' business. POST makes one."""
    context: dict[str, object] = {"form": request.POST}
    if request.method == "POST":
        try:
            return _make_project(request)
        except ManifoldError as error:
            context["refused"] = error.message
    context["mine"] = (
        Membership.objects.filter(user=request.user.pk).select_related("project").order_by("project__slug")
    )
    return render(request, "accounts/projects.html", context, status=422 if "refused" in context else 200)


def _make_project(request: HttpRequest) -> HttpResponse:
    named = request.POST.get("admin", "").strip()
    admin = _person(request, named) if named else signed_in(request)
    slug, name = request.POST.get("slug", "").strip(), request.POST.get("name", "").strip()[:200]
    project = services.create_project(slug=slug, name=name, admin=admin, actor=actor_of(request.user))
    mine = admin.pk == request.user.pk
    there = reverse("console:home", args=[project.slug]) if mine else reverse("console:projects")
    return go(request, there, f"The project {project.name} is there; {admin.username} administers it.")


def _person(request: HttpRequest, username: str) -> User:
    found: User = get_object_or_404(User.objects.visible_to(signed_in(request)), username=username)
    return found


urlpatterns = [
    path("platform/people/", people, name="people"),
    path("platform/people/<str:username>/", person, name="person"),
    path("platform/people/<str:username>/active/", active, name="person-active"),
    path("platform/people/<str:username>/unlock/", unlock, name="person-unlock"),
    path("platform/people/<str:username>/sessions/end/", end_sessions, name="person-sessions"),
    path("platform/people/<str:username>/second-factor/remove/", remove_factor, name="person-factor"),
    path("platform/projects/", projects, name="projects"),
]
