"""The contract's error answers as exceptions. Views raise them and one handler renders them."""

from collections.abc import Iterable
from typing import Any

from evermuse.errors import Refused


class Refusal(Refused):
    """A request that the API's rules refuse."""


def invalid_body(message: str, details: Any = None) -> Refusal:
    """400: the body is JSON of the wrong shape, or a parameter breaks its rule."""
    return Refusal(400, "INVALID_BODY", message, details=details)


def not_found(message: str = "There is nothing at this path.") -> Refusal:
    """404: an unknown path, or something that does not exist in this workspace."""
    return Refusal(404, "NOT_FOUND", message)


def expired(message: str) -> Refusal:
    """410: retention has removed the rows."""
    return Refusal(410, "EXPIRED", message)


def method_not_allowed(allowed: Iterable[str]) -> Refusal:
    """405: the path exists but does not allow the verb."""
    return Refusal(405, "METHOD_NOT_ALLOWED", f"This path takes {', '.join(allowed)}.")


def unauthorized() -> Refusal:
    """401: the same message for a missing, malformed, unknown, revoked or expired key."""
    return Refusal(401, "UNAUTHORIZED", "Send a valid API key in the header x-api-key.")


def unavailable() -> Refusal:
    """503: the database does not answer, and nothing was stored."""
    return Refusal(503, "UNAVAILABLE", "The service cannot answer right now. Send the request again.", retry_after=2)


def no_answer() -> Refusal:
    """503: the database did not answer in time. It may carry out the request when it answers again."""
    message = "The service did not answer in time, and may still carry out this request. Send it again, with the same Idempotency-Key."
    return Refusal(503, "UNAVAILABLE", message, retry_after=5)


def cold_unavailable() -> Refusal:
    """503: the object store, which alone holds older records, is away."""
    message = "The object store does not answer, and these records are only there. Send the request again."
    return Refusal(503, "UNAVAILABLE", message, retry_after=5)


def upload_quota_full(quota: int, retry_after: int) -> Refusal:
    """429: the workspace's unclaimed uploads, with reserved space, are at their quota."""
    message = (
        f"The workspace's unclaimed uploads may hold {quota} bytes together. "
        "Name those that are sent in records, or wait until they expire."
    )
    return Refusal(429, "UPLOAD_QUOTA", message, retry_after=retry_after)
