"""The errors that the client raises. Each has a code, a message, and the details that the server sent."""

from typing import Any


class EvermuseError(Exception):
    """An error with the fields of the API's error answers.

    ``code``: the contract's, or UNREACHABLE. ``details``: as the answer had them. ``retry_after``: seconds, if the server
    named a time. ``status``: the HTTP status, if there was an answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Any = None,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code, self.message, self.details = code, message, details
        self.retry_after, self.status = retry_after, status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ApiError(EvermuseError):
    """The server's answer is an error."""


class Unreachable(EvermuseError):
    """No attempt got a complete answer."""

    def __init__(self, message: str) -> None:
        super().__init__("UNREACHABLE", message)
