"""People and projects for tests, and a client of the API for each: `api(viewer).get(...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.test.client import ClientHandler
from rest_framework.test import APIClient

from apps.accounts import guesses, services
from apps.accounts.models import Project, Role, User
from apps.audit.context import SYSTEM

PASSWORD = "correct-horse-battery-staple"
# How passwords are kept where nobody tests.
HASHERS = settings.PASSWORD_HASHERS

AnyClient = TypeVar("AnyClient", bound=Client)
Api = Callable[[User | None], APIClient]


def make_user(username: str, *, superuser: bool = False) -> User:
    """A user without the cost of hashing a password; those who sign in set one."""
    user = User(username=username, is_superuser=superuser, is_staff=superuser)
    user.set_unusable_password()
    user.save()
    return user


def member(username: str, project: Project, role: Role) -> User:
    user = make_user(username)
    services.set_membership(project, user, role=role, actor=SYSTEM)
    return user


@pytest.fixture(autouse=True, scope="session")
def quick_hashes() -> Iterator[None]:
    """A slow hash is the point of a password, but not of tests: half a second of work for each time it is looked at."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher", *HASHERS]):
        yield


@pytest.fixture(autouse=True, scope="session")
def patient_counts() -> Iterator[None]:
    """What is tried is not counted where Redis takes long: how long it takes is up to the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guesses, "_FEW_SECONDS", 60.0)
        yield


@pytest.fixture
def admin(db: None) -> User:
    """Administrator of `project`, no superuser."""
    return make_user("ada")


@pytest.fixture
def project(admin: User) -> Project:
    return services.create_project(slug="flights", name="Flights", admin=admin, actor=SYSTEM)


@pytest.fixture
def operator(project: Project) -> User:
    return member("olga", project, Role.OPERATOR)


@pytest.fixture
def viewer(project: Project) -> User:
    return member("vera", project, Role.VIEWER)


@pytest.fixture
def superuser(db: None) -> User:
    """Administers the platform and is a member of nothing."""
    return make_user("root", superuser=True)


@pytest.fixture
def stranger(db: None) -> User:
    """Administrator of another project, `elsewhere`."""
    user = make_user("stan")
    services.create_project(slug="elsewhere", name="Elsewhere", admin=user, actor=SYSTEM)
    return user


@cache
def _middleware() -> Any:
    """The loaded middleware. It lists every static file, which takes longer than most tests."""
    handler: Any = ClientHandler()
    handler.load_middleware()
    return handler._middleware_chain


def quick(client: AnyClient) -> AnyClient:
    """This client with middleware that another one has loaded."""
    handler: Any = client.handler
    handler._middleware_chain = _middleware()
    return client


def signed_in(user: User) -> Client:
    """A browser of somebody who is signed in to the console."""
    client = quick(Client())
    client.force_login(user)
    return client


@pytest.fixture
def api() -> Api:
    """A client of the API for a user, or for nobody. Errors come back as answers."""

    def client(user: User | None) -> APIClient:
        made = quick(APIClient(raise_request_exception=False))
        if user is not None:
            made.force_authenticate(user)
        return made

    return client
