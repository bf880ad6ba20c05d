"""Converts between the database's ids and those that clients see."""

import re
from uuid import UUID

# A batch's id is its number with this many digits, in this format.
BATCH_DIGITS = 19
BATCH_FORMAT = "batch_%s"

_BATCH = re.compile(rf"batch_([0-9]{{{BATCH_DIGITS}}})")
_ATTACHMENT = re.compile(r"att_([0-9]{19})")
_RECORD = re.compile(r"rec_([0-9a-f]{32})")
_MAX = 2**63 - 1


def of_batch(number: int) -> str:
    """A ``batchId``. Its width is fixed, so that it sorts by acceptance."""
    return BATCH_FORMAT % f"{number:0{BATCH_DIGITS}d}"


def of_attachment(number: int) -> str:
    """An ``attachmentId``."""
    return f"att_{number:019d}"


def of_record(record_id: UUID) -> str:
    """A ``recordId``."""
    return f"rec_{record_id.hex}"


def batch_number(text: str) -> int | None:
    """The number of a ``batchId``, or None for any other text."""
    return _number(_BATCH.fullmatch(text))


def attachment_number(text: str) -> int | None:
    """The number of an ``attachmentId``, or None for any other text."""
    return _number(_ATTACHMENT.fullmatch(text))


def record_uuid(text: str) -> UUID | None:
    """The UUID of a ``recordId``, or None for any other text."""
    match = _RECORD.fullmatch(text)
    return UUID(match[1]) if match else None


def _number(match: re.Match[str] | None) -> int | None:
    number = int(match[1]) if match else 0
    return number if 0 < number <= _MAX else None
