"""Wrong settings, told by Django's own system checks with an id each (`manage.py check --deploy`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from manifold import probes


def keys_are_whole(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """manifold.E001: the keys that sign and encrypt are missing or broken."""
    finding = probes.ask("keys", probes.keys)
    return [] if finding.up else [Error(finding.detail, hint=finding.remedy, id="manifold.E001")]


def storage_is_supported(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """manifold.E002: the storage address is one nobody can use."""
    try:
        probes.storage_folder()
    except probes.Unwell as unwell:
        return [Error(unwell.detail, hint=unwell.remedy, id="manifold.E002")]
    return []


def hosts_are_named(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """manifold.W003: any host name is accepted, which lets a forged one into links."""
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts in MANIFOLD_ALLOWED_HOSTS."
        return [Warning("Every host name is accepted.", hint=hint, id="manifold.W003")]
    return []


def leases_outlive_heartbeats(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """manifold.E004: a lease that ends before its second heartbeat loses healthy steps."""
    if settings.LEASE_SECONDS < 2 * settings.HEARTBEAT_SECONDS:
        hint = "Set MANIFOLD_LEASE_SECONDS to at least twice MANIFOLD_HEARTBEAT_SECONDS."
        return [Error("A lease ends before its second heartbeat.", hint=hint, id="manifold.E004")]
    return []


def issuer_is_whole(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """manifold.E005: an issuer is named, and what it needs is not."""
    if settings.OIDC_ISSUER and not settings.OIDC_CLIENT_ID:
        hint = "Set MANIFOLD_OIDC_CLIENT_ID to what the issuer calls this installation."
        return [
            Error("MANIFOLD_OIDC_ISSUER is set, and MANIFOLD_OIDC_CLIENT_ID is not.", hint=hint, id="manifold.E005")
        ]
    if settings.OIDC_ISSUER and "openid" not in settings.OIDC_SCOPES:
        return [Error("MANIFOLD_OIDC_SCOPES has no `openid`.", hint="Add it.", id="manifold.E005")]
    return []


def register_all() -> None:
    """Called once, when the applications are ready."""
    for check in (keys_are_whole, storage_is_supported, hosts_are_named):
        register(check, "manifold", deploy=True)
    register(leases_outlive_heartbeats, "manifold")
    register(issuer_is_whole, "manifold")
