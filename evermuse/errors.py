"""Errors that carry a stable code and say whether trying again can help."""

from typing import Any

import psycopg
from django.db import InterfaceError, InternalError, OperationalError

# What Django and psycopg raise while PostgreSQL cannot answer.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, psycopg.OperationalError, psycopg.InterfaceError)


class EvermuseError(Exception):
    """Base of the product's own errors."""

    code = "INTERNAL_ERROR"
    retryable = False


class StoreUnavailable(EvermuseError):
    """The object store did not take or give an object in time; the caller may try again later."""

    code = "STORE_UNAVAILABLE"
    retryable = True


class ArchiveDamaged(EvermuseError):
    """The archive object is gone, or not what was stored, or not what the payload says; asking again does not help."""

    code = "ARCHIVE_DAMAGED"


class LeaseLost(EvermuseError):
    """Somebody else holds the claim now: what was done under the old one must not be written."""

    code = "LEASE_LOST"


class Refused(EvermuseError):
    """A request that is not served. Its answer is ``{"error", "message", "retryAfter"?, "details"?}``."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: int | None = None, details: Any = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.details = retry_after, details

    def body(self) -> dict[str, Any]:
        """The answer's body."""
        body: dict[str, Any] = {"error": self.code, "message": self.message}
        if self.retry_after is not None:
            body["retryAfter"] = self.retry_after
        if self.details is not None:
            body["details"] = self.details
        return body
