"""The test services themselves."""

from __future__ import annotations

import psycopg
import redis
from django.conf import settings


def test_it_works(postgres_url: str, redis_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


def test_the_role_is_no_superuser(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, True)


def test_the_settings_know_the_services(redis_url: str) -> None:
    assert redis_url == settings.CELERY_BROKER_URL
    assert settings.DATABASES["default"]["PORT"]
