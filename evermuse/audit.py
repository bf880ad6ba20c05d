"""The audit log: who did what to which row, and when. It is stored in Django's own log of the admin."""

from datetime import timedelta
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from evermuse import logs

log = logs.get(__name__)

# Pages reload themselves, so repeated reads within this time are logged once.
SAME_READING = timedelta(minutes=10)


# A row, or the model whose list was read.
Target = Model | type[Model]


def record(request: HttpRequest, target: Target, act: str, **details: Any) -> None:
    """Add an act to the audit log, in the caller's transaction. ``act``: what was done, in words; ``details``: JSON values.

    The log must never hold payloads, keys or URLs.
    """
    user_id = request.user.pk
    assert user_id is not None, "the admin requires a login"
    key = _key(target)
    LogEntry.objects.create(
        user_id=user_id,
        content_type=ContentType.objects.get_for_model(target, for_concrete_model=False),
        object_id=key,
        object_repr=str(target._meta.verbose_name_plural if key is None else target)[:200],
        action_flag=CHANGE,
        change_message=act if not details else f"{act} ({', '.join(f'{k}: {v}' for k, v in details.items())})",
    )
    label = target._meta.label if key is None else f"{target._meta.label}:{key}"
    log.info("admin.act", act=act, user=request.user.get_username(), target=label, **details)


def read(request: HttpRequest, target: Target, act: str) -> None:
    """Record that a login read what a customer said. Repeated within `SAME_READING`, it is recorded once."""
    user_id = request.user.pk
    assert user_id is not None, "the admin requires a login"
    same = LogEntry.objects.filter(
        user_id=user_id,
        content_type=ContentType.objects.get_for_model(target, for_concrete_model=False),
        object_id=_key(target),
        change_message=act,
        action_time__gt=timezone.now() - SAME_READING,
    )
    if not same.exists():
        record(request, target, act)


def _key(target: Target) -> str | None:
    return str(target.pk) if isinstance(target, Model) else None
