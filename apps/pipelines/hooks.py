"""Inbound triggers: signed messages (Standard Webhooks) that start runs. Each write is one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Window
from django.db.models.functions import Now, RowNumber

from apps.accounts import crypto, signed
from apps.accounts.signed import NotSigned
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import services, starting
from apps.pipelines.models import Hook, HookMessage, HookSecret, Pipeline, Run

log = structlog.get_logger(__name__)

SECRETS_AT_MOST = 5
REMEMBERED = timedelta(days=30)
_FIELD = "secret"
_TABLE = HookSecret._meta.db_table


def create_hook(pipeline: Pipeline, *, name: str, actor: Actor) -> tuple[Hook, str]:
    """A new address for a pipeline, and its first secret, which is not shown again. Raises Invalid, Conflict."""
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid("name", "Give it a name of 1 to 100 characters: who sends the messages.")
    with acting(actor):
        try:
            with transaction.atomic():
                hook = Hook.objects.create(pipeline=pipeline, name=name)
        except IntegrityError:
            raise Conflict(
                f"There is an inbound trigger `{name}` already. Choose another name.", code="name_taken"
            ) from None
        return hook, add_secret(hook, actor=actor)[1]


def add_secret(hook: Hook, *, actor: Actor) -> tuple[HookSecret, str]:
    """Another secret beside those that stand, so that senders can change over; its text is not shown again."""
    with acting(actor):
        locked = Hook.objects.select_for_update().get(pk=hook.pk)
        if locked.secrets.count() >= SECRETS_AT_MOST:
            raise Conflict(
                f"There are {SECRETS_AT_MOST} secrets already. Remove one that nobody signs with any more.",
                code="too_many_secrets",
            )
        text = signed.new_secret()
        row = HookSecret(hook=locked)
        row.secrets, row.key_version = crypto.seal(row.pk, {_FIELD: text}, crypto.provider(), _TABLE)
        row.save(force_insert=True)
        return row, text


def remove_secret(secret: HookSecret, *, actor: Actor) -> None:
    """Messages signed with it are refused from now on. Raises Conflict for the last one."""
    with acting(actor):
        hook = Hook.objects.select_for_update().get(pk=secret.hook_id)
        if hook.secrets.count() < 2:
            raise Conflict("This is the only secret. Add another first, or switch the trigger off.", code="last_secret")
        secret.delete()


def switch_hook(hook: Hook, *, enabled: bool, actor: Actor) -> Hook:
    """Take messages, or refuse them all."""
    with acting(actor):
        locked = Hook.objects.select_for_update().get(pk=hook.pk)
        if locked.enabled != enabled:
            locked.enabled = enabled
            locked.save(update_fields=["enabled"])
        return locked


def delete_hook(hook: Hook, *, actor: Actor) -> None:
    """Its address is gone for good; runs that it has started stay."""
    with acting(actor):
        hook.delete()


def receive(hook: Hook, *, body: bytes, headers: Mapping[str, str]) -> tuple[Run | None, bool]:
    """The run that a message starts, and whether it is new: the same message again gives the same run.

    Raises NotSigned where the signature fits none of the secrets or its time is more than five minutes off; Busy after
    too many in a minute; Conflict where the pipeline has nothing published.
    """
    _verify(hook, body, headers)
    # Only what is rightly signed counts here, so that a stranger cannot use up what the sender may send.
    signed.slow_down(f"hook:{hook.pk}", "to this inbound trigger", settings.HOOK_MESSAGES)
    message_id = signed.message_id(headers)
    with acting(_sender(hook)):
        pipeline = starting.lock_pipeline(hook.pipeline_id)
        message, fresh = HookMessage.objects.get_or_create(hook=hook, message_id=message_id)
        if fresh:
            message.run = services.start_run(pipeline, actor=_sender(hook), trigger="webhook")
            message.save(update_fields=["run"])
            hook.messages.filter(received_at__lt=Now() - REMEMBERED).delete()
        return message.run, fresh


def newest_messages(hooks: Iterable[Hook], count: int = 5) -> dict[uuid.UUID, list[HookMessage]]:
    """The newest messages of each of these, the newest first, in one query."""
    rank = Window(RowNumber(), partition_by=F("hook_id"), order_by=F("id").desc())
    ranked = HookMessage.objects.filter(hook__in=[each.pk for each in hooks]).annotate(rank=rank)
    found: dict[uuid.UUID, list[HookMessage]] = {}
    for each in sorted(ranked.filter(rank__lte=count), key=lambda message: message.pk, reverse=True):
        found.setdefault(each.hook_id, []).append(each)
    return found


def _sender(hook: Hook) -> Actor:
    return Actor("webhook", hook.pk, f"{hook.pipeline.slug}/{hook.name}")


def _verify(hook: Hook, body: bytes, headers: Mapping[str, str]) -> None:
    keys = crypto.provider()
    texts = (
        crypto.unseal(each.pk, each.secrets, each.key_version, keys, _TABLE)[_FIELD] for each in hook.secrets.all()
    )
    try:
        signed.verify(texts, body, headers, "trigger")
    except NotSigned:
        log.warning("hook_refused", hook=str(hook.pk), pipeline=hook.pipeline.slug)
        raise
