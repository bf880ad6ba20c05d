"""Why a download did not succeed: values with a stable code, a message, and whether trying again can help."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason of one attempt. ``retry_after``: seconds that the server asked for."""

    code: str
    message: str
    is_transient: bool
    http_status: int | None = None
    retry_after: float | None = None


class DownloadFailed(Exception):
    """Carries a Failure out of the stream to the one place that turns it into a value."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


def final(code: str, message: str, http_status: int | None = None) -> DownloadFailed:
    """A reason that another attempt would meet again."""
    return DownloadFailed(Failure(code, message, is_transient=False, http_status=http_status))


def transient(
    code: str, message: str, http_status: int | None = None, retry_after: float | None = None
) -> DownloadFailed:
    """A reason that may pass."""
    return DownloadFailed(Failure(code, message, is_transient=True, http_status=http_status, retry_after=retry_after))
