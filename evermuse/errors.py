"""Errors that carry a stable code and say whether trying again can help."""

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
