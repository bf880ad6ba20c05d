"""Reasons of stored errors, as logins see them that may not see payloads."""

import pytest

from evermuse import redaction


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("StoreUnavailable: it timed out", "StoreUnavailable: it timed out"),
        ("StoreUnavailable: it answered HTTP 503 SlowDown", "StoreUnavailable: it answered HTTP 503 SlowDown"),
        ("the worker died or was stopped during the call", "the worker died or was stopped during the call"),
        ("OperationalError: the server closed the connection", "OperationalError: the server closed the connection"),
        ('ProgrammingError: column "Ann" does not exist', "ProgrammingError: column … does not exist"),
        ("OSError: unknown name: Ann Example", "OSError: unknown name: …"),
        ("OSError: no file 'Ann was cut off here", "OSError: no file …"),
        ("OSError: redis://:secret@cache.example refused", "OSError: … refused"),
        ("OperationalError: canceled\nDETAIL: Key (name)=(Ann)", "OperationalError: canceled"),
        ("ValueError: what the customer said", "ValueError"),
        ("KeyError: 'Ann Example'", "KeyError"),
    ],
)
def test_reason_of_an_error_is_shown_without_its_values(error: str, shown: str) -> None:
    assert redaction.reason(error) == shown
