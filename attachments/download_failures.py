"""Reasons why a download failed: a stable code, a message, and whether another attempt may succeed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DownloadFailure:
    """The reason why one attempt failed. ``retry_after``: the seconds that the server asked for."""

    code: str
    message: str
    is_transient: bool
    http_status: int | None = None
    retry_after: float | None = None


class DownloadFailed(Exception):
    """Carries a DownloadFailure from where it happens to where the attempt is settled."""

    def __init__(self, failure: DownloadFailure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


def final(code: str, message: str, http_status: int | None = None) -> DownloadFailed:
    """A failure that another attempt would meet again."""
    return DownloadFailed(DownloadFailure(code, message, is_transient=False, http_status=http_status))


def transient(
    code: str, message: str, http_status: int | None = None, retry_after: float | None = None
) -> DownloadFailed:
    """A failure that may not happen again."""
    return DownloadFailed(
        DownloadFailure(code, message, is_transient=True, http_status=http_status, retry_after=retry_after)
    )
