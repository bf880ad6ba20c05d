"""The head of an HTTP/1.1 response, and where its body ends. A response with ambiguous framing is refused.

`http.client` is not used: it takes headers after a malformed line for the body, recognises only the exact word
``chunked``, and takes an interim response for the final one. Other lines are read as browsers and curl read them: a
line that is not a header is skipped. Source: RFC 9112, sections 4 to 6.
"""

import re
from dataclasses import dataclass

from attachments.download_failures import DownloadFailed, transient

# For all heads of one request together, interim ones included. curl stops at 300 kB.
MAX_HEAD_BYTES = 256 * 1024
# Joining folded lines one by one copies the earlier ones each time.
MAX_FOLDED = 1000
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_FRAMING = ("transfer-encoding", "content-length")
_OPENING = b"HTTP/1."
_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields, with names in lower case. ``minor``: of the version HTTP/1.x."""

    status: int
    minor: int
    fields: dict[str, list[str]]

    def get(self, name: str, default: str = "") -> str:
        """A field's value. Several lines are joined to one list (RFC 9110, 5.3)."""
        values = self.fields.get(name)
        return default if values is None else ", ".join(values)


@dataclass(frozen=True, slots=True)
class Framing:
    """Where the body ends: after ``length`` bytes, with the last chunk, or else with the connection."""

    length: int | None
    is_chunked: bool
    # Whether the connection may be reused afterwards.
    is_kept: bool


def bad(message: str, status: int | None = None) -> DownloadFailed:
    """The failure for a response that is not valid HTTP/1.1. It is transient, because another server may answer next
    time.
    """
    return transient("BAD_RESPONSE", f"the response is not valid HTTP/1.1: {message}", status)


def may_begin(content: bytes | bytearray) -> bool:
    """Whether these bytes can be the beginning of a response."""
    return content.startswith(_OPENING) if len(content) >= len(_OPENING) else _OPENING.startswith(content)


def end_of_head(content: bytearray, start: int) -> int:
    """The position after the head's empty line, or -1 if the head is incomplete. ``start``: where to start looking."""
    at = max(start - 3, 0)
    crlf = content.find(b"\n\r\n", at)
    lf = content.find(b"\n\n", at, crlf + 1 if crlf >= 0 else len(content))
    if lf >= 0:
        return lf + 2
    return crlf + 3 if crlf >= 0 else -1


def parse(content: bytes) -> Head:
    """Parse a head that includes its empty line. Raises DownloadFailed."""
    text = content.decode("latin-1").replace("\r\n", "\n")
    if "\0" in text or "\r" in text:
        raise bad("a NUL or a lone CR in the head")
    first, *lines = text.rstrip("\n").split("\n")
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise bad("the status line cannot be read")
    fields: dict[str, list[str]] = {}
    last: list[str] | None = None
    folded = 0
    for line in lines:
        if line[0] in _BLANKS:
            _check_harmless(line)
            folded += 1
            if folded > MAX_FOLDED:
                raise bad(f"more than {MAX_FOLDED} folded lines")
            if last is not None:
                last[-1] = f"{last[-1]} {line.strip(_BLANKS)}".strip(_BLANKS)
            continue
        name, colon, value = line.partition(":")
        # Remove a blank before the colon (RFC 9112, 5.1).
        name = name.rstrip(_BLANKS).lower()
        if not colon or _NAME.fullmatch(name) is None:
            _check_harmless(line)
            last = None
            continue
        last = fields.setdefault(name, [])
        last.append(value.strip(_BLANKS))
    return Head(int(status_line[2]), int(status_line[1]), fields)


def _check_harmless(line: str) -> None:
    """Refuse a malformed line that mentions framing. Implementations disagree on how to read it."""
    lowered = line.lower()
    if any(name in lowered for name in _FRAMING):
        raise bad("a malformed header line about the body's framing")


def framing(head: Head) -> Framing:
    """How the body of a final response to GET is framed. Raises DownloadFailed."""
    is_kept = head.minor == 1 and "close" not in _tokens(head, "connection")
    length = _length(head)
    transfer = [coding for coding in _tokens(head, "transfer-encoding") if coding != "identity"]
    if head.status in {204, 304}:
        return Framing(0, is_chunked=False, is_kept=is_kept and not transfer)
    if transfer:
        if transfer != ["chunked"]:
            raise bad("a Transfer-Encoding that was not requested", head.status)
        # Together with a Content-Length, or in HTTP/1.0, do not reuse the connection.
        return Framing(None, is_chunked=True, is_kept=is_kept and "content-length" not in head.fields)
    return Framing(length, is_chunked=False, is_kept=is_kept and length is not None)


def _tokens(head: Head, name: str) -> list[str]:
    return [token for part in head.get(name).split(",") if (token := part.strip(_BLANKS).lower())]


def _length(head: Head) -> int | None:
    if "content-length" not in head.fields:
        return None
    # A list may have empty elements (RFC 9110, 5.6.1).
    parts = {
        part for value in head.fields["content-length"] for one in value.split(",") if (part := one.strip(_BLANKS))
    }
    if not all(_LENGTH.fullmatch(part) for part in parts) or len({int(part) for part in parts}) != 1:
        raise bad("Content-Length is not a single number", head.status)
    return int(parts.pop())
