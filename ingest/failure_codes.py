"""Why a batch is FAILED or had to wait: a code that programs compare, and a text for people.

The text may quote a record, so it is shown only to those who may see payloads; the others get the code in words.
"""

from dataclasses import dataclass

ALL_REJECTED, GIVEN_UP, WORKER_DIED = "ALL_REJECTED", "GIVEN_UP", "WORKER_DIED"
STORE_UNAVAILABLE, DATABASE_UNAVAILABLE = "STORE_UNAVAILABLE", "DATABASE_UNAVAILABLE"
DEPLOYMENT_FAULT = "DEPLOYMENT_FAULT"

MAX_CODE, MAX_TEXT = 64, 500

_WORDS = {
    ALL_REJECTED: "every record was rejected",
    GIVEN_UP: "given up",
    WORKER_DIED: "worker died",
    STORE_UNAVAILABLE: "object store",
    DATABASE_UNAVAILABLE: "database",
    DEPLOYMENT_FAULT: "fault of the deployment",
}


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """A code of this module, or the name of an unexpected exception's class; and the text for people."""

    code: str
    text: str


EVERY_RECORD_REJECTED = BatchFailure(ALL_REJECTED, "every record was rejected")


def store_unavailable(error: Exception) -> BatchFailure:
    """The object store did not take the records."""
    return BatchFailure(STORE_UNAVAILABLE, _storable(f"object store: {error}"))


def database_unavailable(error: Exception) -> BatchFailure:
    """PostgreSQL did not answer, or ended the transaction."""
    return BatchFailure(DATABASE_UNAVAILABLE, _storable(f"database: {error}"))


def deployment_fault(error: Exception) -> BatchFailure:
    """The code does not fit the schema, the server or what is installed. The batch is not at fault."""
    return BatchFailure(DEPLOYMENT_FAULT, _storable(f"deployment: {type(error).__name__}: {error}"))


def unexpected(error: Exception) -> BatchFailure:
    """An exception that nothing expects."""
    name = type(error).__name__
    return BatchFailure(name[:MAX_CODE], _storable(f"{name}: {error}"))


def given_up(crashes: int) -> BatchFailure:
    """Too many workers died or hung while they landed the batch alone."""
    return BatchFailure(GIVEN_UP, f"given up: {crashes} workers died or hung while landing it alone")


def in_words(code: str | None) -> str:
    """The words for a code: its own name if it has none; empty without a code."""
    return _WORDS.get(code or "", code or "")


def code_of(words: str) -> str:
    """The code that has these words."""
    return next((code for code, known in _WORDS.items() if known == words), words)


def _storable(text: str) -> str:
    return text.replace("\0", "")[:MAX_TEXT]
