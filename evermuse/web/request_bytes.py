"""Counts the bytes of the current request, because the parser lacks these limits."""

import httptools

MAX_HEAD_BYTES = 64 * 1024
# The bytes that the parser gets at once, because it cannot be stopped within a slice. It gets more of a body of known
# length.
SLICE_BYTES, BODY_SLICE_BYTES = 2048, 64 * 1024
# The framing that a chunked body may have (sizes, extensions, trailers), in one place and in total. The total grows
# with the body: a chunk of one byte has five bytes of framing, or twelve if its size is padded.
MAX_FRAMING_BYTES, FRAMING_PER_BODY_BYTE = 16 * 1024, 16


class BadRequest(httptools.HttpParserError):
    """Raised in a parser's callback to refuse a head. The client sees its text."""


class RequestBytes:
    """The parser's position in a request, and the bytes so far."""

    def __init__(self) -> None:
        self.is_in_head = self.is_in_body = False
        self._head = 0
        # Bytes of the body, bytes that its announced length still lacks, and bytes of framing, in total and since the
        # last content.
        self._body = self._body_left = self._framing = self._framing_run = 0
        self._body_in_slice = 0

    def next_slice(self) -> int:
        """How many bytes the parser may get at once."""
        self._body_in_slice = 0
        return max(SLICE_BYTES, min(self._body_left, BODY_SLICE_BYTES))

    def begin_head(self) -> None:
        """The parser found the beginning of a request."""
        self.is_in_head, self.is_in_body, self._head = True, False, 0

    def begin_body(self, headers: list[tuple[bytes, bytes]], version: str) -> None:
        """The head is complete. Raises BadRequest for a body whose end could not be found."""
        self.is_in_body = True
        self._body = self._body_left = self._framing = self._framing_run = self._body_in_slice = 0
        codings = []
        for name, value in headers:
            if name == b"content-length" and value.isdigit():
                self._body_left = int(value)
            elif name == b"transfer-encoding":
                codings.append(value.strip().lower())
        if codings and (codings != [b"chunked"] or version != "1.1"):
            raise BadRequest('Transfer-Encoding must be "chunked", in HTTP/1.1, or be left out.')

    def add_body(self, size: int) -> None:
        """The parser found a part of the body."""
        self._body += size
        self._body_in_slice += size
        self._body_left = max(0, self._body_left - size)

    def excess(self, size: int) -> str | None:
        """Count a slice that the parser has read. Returns what has become too large, if anything."""
        if self.is_in_head:
            self._head += size
            return "The head of the request is too large." if self._head > MAX_HEAD_BYTES else None
        if not self.is_in_body:
            return None
        self._framing += size - self._body_in_slice
        self._framing_run = 0 if self._body_in_slice else self._framing_run + size
        allowed = MAX_FRAMING_BYTES + FRAMING_PER_BODY_BYTE * self._body
        if self._framing_run > MAX_FRAMING_BYTES or self._framing > allowed:
            return "The chunk sizes, extensions or trailers of the body are too large."
        return None
