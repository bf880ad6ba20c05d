"""410 EXPIRED: details of a batch that retention has removed."""

from collections.abc import Callable
from typing import TypeVar

from ingest.refusals import Refusal, expired

Page = TypeVar("Page")


def detail_expired() -> Refusal:
    """The same refusal for errors, outcomes and the ledger."""
    return expired("This detail of the batch has expired. Its status and counts are kept.")


def kept(page: Callable[..., Page], has_expired: Callable[[], bool]) -> Callable[..., Page]:
    """Like ``page``, but raises 410 if the rows have expired.

    It asks after it has read: what is removed between two statements must not look like the end of the list. A stream that
    has begun is cut off.
    """

    def read(**how: object) -> Page:
        found = page(**how)
        if has_expired():
            raise detail_expired()
        return found

    return read
