"""The ids that clients see, made from the database's and back."""

import re
from uuid import UUID

_BATCH = re.compile(r"batch_([0-9]{19})")
_ATTACHMENT = re.compile(r"att_([0-9]{19})")
_RECORD = re.compile(r"rec_([0-9a-f]{32})")
_MAX = 2**63 - 1


def of_batch(number: int) -> str:
    """``batchId``: of fixed width, so that it sorts by acceptance."""
    return f"batch_{number:019d}"


def of_attachment(number: int) -> str:
    """``attachmentId``."""
    return f"att_{number:019d}"


def of_record(record_id: UUID) -> str:
    """``recordId``."""
    return f"rec_{record_id.hex}"


def batch_number(text: str) -> int | None:
    """The number behind a ``batchId``; None for any other text."""
    return _number(_BATCH.fullmatch(text))


def attachment_number(text: str) -> int | None:
    """The number behind an ``attachmentId``; None for any other text."""
    return _number(_ATTACHMENT.fullmatch(text))


def record_uuid(text: str) -> UUID | None:
    """The identity behind a ``recordId``; None for any other text."""
    match = _RECORD.fullmatch(text)
    return UUID(match[1]) if match else None


def _number(match: re.Match[str] | None) -> int | None:
    number = int(match[1]) if match else 0
    return number if 0 < number <= _MAX else None
