"""Errors with a stable code, which say whether another attempt can help."""

from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, InternalError, NotSupportedError, OperationalError, ProgrammingError

# Raised by Django and psycopg while PostgreSQL is away.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, psycopg.OperationalError, psycopg.InterfaceError)

# Raised where the code, the schema and the server do not fit together: a missing column, a missing permission, a server
# that is too old, a module that is not installed. No input causes them.
DEPLOYMENT_FAULTS = (
    ProgrammingError, NotSupportedError, psycopg.ProgrammingError, psycopg.NotSupportedError, ImproperlyConfigured,
    ImportError,
)  # fmt: skip


class EvermuseError(Exception):
    """The base of our own errors."""

    code = "INTERNAL_ERROR"
    retryable = False


class StoreUnavailable(EvermuseError):
    """The object store did not answer in time. The caller may try again later."""

    code = "STORE_UNAVAILABLE"
    retryable = True


class OutcomeUnknown(EvermuseError):
    """The connection to the database was lost during a commit. The batch may be stored or not."""

    code = "INTERNAL_ERROR"
    retryable = True


class ArchiveDamaged(EvermuseError):
    """An archive object is missing, damaged, or differs from the payload. Another attempt does not help."""

    code = "ARCHIVE_DAMAGED"


class LeaseLost(EvermuseError):
    """Another worker holds the claim now. Work done under the old claim must not be written."""

    code = "LEASE_LOST"


class Refused(EvermuseError):
    """A refused request. The response is ``{"error", "message", "retryAfter"?, "details"?}``."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: int | None = None, details: Any = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.details = retry_after, details

    def body(self) -> dict[str, Any]:
        """The response's body."""
        body: dict[str, Any] = {"error": self.code, "message": self.message}
        if self.retry_after is not None:
            body["retryAfter"] = self.retry_after
        if self.details is not None:
            body["details"] = self.details
        return body
