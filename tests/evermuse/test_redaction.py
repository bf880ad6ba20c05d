"""Reasons of stored errors, as logins see them that may not see payloads."""

import pytest

from evermuse import redaction


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("StoreUnavailable: it timed out", "StoreUnavailable: it timed out"),
        ("StoreUnavailable: it answered HTTP 503 SlowDown", "StoreUnavailable: it answered HTTP 503 SlowDown"),
        ("TypeError: can't compare str and int", "TypeError: can't compare str and int"),
        ("the worker died or was stopped during it", "the worker died or was stopped during it"),
        ("KeyError: 'Ann Example'", "KeyError: …"),
        ("ValueError: could not convert string to float: 'Ann'", "ValueError: could not convert string to float: …"),
        ("ValueError: unknown speaker: Ann Example", "ValueError: unknown speaker: …"),
        ('ValueError: bad record {"data": {"who": "Ann"}}', "ValueError: bad record …"),
        ("ValueError: the text 'Ann was cut off here", "ValueError: the text …"),
        ("ValueError: ann@example.org has no name", "ValueError: … has no name"),
        ("ValueError: call 0791234567 failed", "ValueError: call … failed"),
        ("OSError: redis://:secret@cache.example refused", "OSError: … refused"),
        ("IntegrityError: duplicate key\nDETAIL: Key (name)=(Ann)", "IntegrityError: duplicate key"),
    ],
)
def test_reason_of_an_error_is_shown_without_its_values(error: str, shown: str) -> None:
    assert redaction.reason(error) == shown
