"""Retention of what the admin keeps of its users: the audit log, failed logins and sessions."""

from datetime import datetime
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from evermuse import retention


def _audit_log(before: datetime) -> QuerySet[LogEntry]:
    return LogEntry.objects.filter(action_time__lt=before)


def _failures(before: datetime) -> QuerySet[Any]:
    found: QuerySet[Any] = AccessFailureLog.objects.filter(attempt_time__lt=before)
    return found


def _attempts(before: datetime) -> QuerySet[Any]:
    found: QuerySet[Any] = AccessAttempt.objects.filter(attempt_time__lt=before)
    return found


def _sessions(before: datetime) -> QuerySet[Session]:
    return Session.objects.filter(expire_date__lt=before)


KINDS = (
    retention.of_rows("audit-log", "Audit log", "EVERMUSE_AUDIT_RETENTION_DAYS", _audit_log),
    retention.of_rows("failed-logins", "Failed logins", "EVERMUSE_LOGIN_RETENTION_DAYS", _failures),
    retention.of_rows("login-attempts", "Counts of failed logins", "EVERMUSE_LOGIN_RETENTION_DAYS", _attempts),
    # A session's key is a credential, so a dry run prints the expiry instead.
    retention.of_rows(
        "sessions", "Sessions of the admin", "EVERMUSE_SESSION_RETENTION_DAYS", _sessions, shown="expire_date"
    ),
)
