"""The server's own validator, as the converters use it."""

from lake.email_addresses import is_email
from lake.envelope_errors import explain
from lake.fast_decoding import decode_quickly
from lake.formats import is_uri

__all__ = ["is_email", "is_uri", "why_invalid"]


def why_invalid(line: bytes) -> str | None:
    """The rules of the envelope that a record breaks, or None."""
    if decode_quickly([line])[0] is not None:
        return None
    explained = explain(line)
    if explained.envelope is not None:
        return None
    return "; ".join(error.message for error in explained.errors[:5])
