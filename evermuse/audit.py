"""The audit log: who did what to which row, and when. Kept in Django's own log of the admin."""

from datetime import timedelta
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from evermuse import logs

log = logs.get(__name__)

# A page that reloads itself is one act.
SAME_READING = timedelta(minutes=10)


def record(request: HttpRequest, target: Model, act: str, **details: Any) -> None:
    """Note an act on a row, in the caller's transaction. ``act``: what was done, in words; ``details``: JSON values.

    Never payloads, keys or URLs.
    """
    user_id = request.user.pk
    assert user_id is not None, "the admin asks for a login"
    LogEntry.objects.create(
        user_id=user_id,
        content_type=ContentType.objects.get_for_model(target, for_concrete_model=False),
        object_id=str(target.pk),
        object_repr=str(target)[:200],
        action_flag=CHANGE,
        change_message=act if not details else f"{act} ({', '.join(f'{k}: {v}' for k, v in details.items())})",
    )
    log.info(
        "admin.act", act=act, user=request.user.get_username(), target=f"{target._meta.label}:{target.pk}", **details
    )


def read_list(request: HttpRequest, model: type[Model], act: str) -> None:
    """Note that a login looked through a list that shows what customers said; within `SAME_READING` it is one act."""
    user_id = request.user.pk
    assert user_id is not None, "the admin asks for a login"
    same = LogEntry.objects.filter(user_id=user_id, change_message=act, action_time__gt=timezone.now() - SAME_READING)
    if not same.exists():
        LogEntry.objects.create(
            user_id=user_id,
            content_type=ContentType.objects.get_for_model(model, for_concrete_model=False),
            object_repr=str(model._meta.verbose_name_plural),
            action_flag=CHANGE,
            change_message=act,
        )
        log.info("admin.act", act=act, user=request.user.get_username(), target=model._meta.label)


def read(request: HttpRequest, target: Model, act: str) -> None:
    """Note that a login looked at what a customer said; the same within `SAME_READING` is one act."""
    user_id = request.user.pk
    assert user_id is not None, "the admin asks for a login"
    same = LogEntry.objects.filter(
        user_id=user_id,
        content_type=ContentType.objects.get_for_model(target, for_concrete_model=False),
        object_id=str(target.pk),
        change_message=act,
        action_time__gt=timezone.now() - SAME_READING,
    )
    if not same.exists():
        record(request, target, act)
