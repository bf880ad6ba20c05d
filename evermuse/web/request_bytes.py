"""Counts the bytes of the current request, because the parser lacks these limits, and finds where requests end."""

import re

import httptools

MAX_HEAD_BYTES = 64 * 1024
HEAD_TOO_LARGE = "The head of the request is too large."
# The bytes that the parser gets at once, because it cannot be stopped within a slice. It gets more of a body of known
# length. No slice reaches beyond the end of a request.
SLICE_BYTES, BODY_SLICE_BYTES = 2048, 64 * 1024
# The framing that a chunked body may have (sizes, extensions, trailers), in one place and in total. The total grows
# with the body: a chunk of one byte has five bytes of framing, or twelve if its size is padded.
MAX_FRAMING_BYTES, FRAMING_PER_BODY_BYTE = 16 * 1024, 16
# Heads and chunked bodies end with an empty line, whose first line feed may belong to the slice before.
_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")

# The characters of a host and a port (RFC 3986, section 3.2.2).
_HOST = re.compile(rb"[\w.~%!$&'()*+,;=:\[\]-]*")


class BadRequest(httptools.HttpParserError):
    """Refuses a head. The client sees its text. The parser's callbacks may raise it."""

    status, code = 400, "INVALID_BODY"


def refusal_of(error: httptools.HttpParserError) -> BadRequest:
    """What the client is told about an error of the parser, or of one of its callbacks."""
    refusal = error if isinstance(error, BadRequest) else error.__context__
    if isinstance(refusal, BadRequest):
        return refusal
    return BadRequest("This is not an HTTP/1.1 request, or its head is too large.")


class RequestBytes:
    """The parser's position in a request, and the bytes so far."""

    def __init__(self) -> None:
        # A head begins with its request line, which the parser gets once it has arrived whole.
        self.is_in_line = self.is_in_head = self.is_in_body = False
        self._head = 0
        # Bytes of the body, bytes that its announced length still lacks, and bytes of framing, in total and since the
        # last content.
        self._body = self._body_left = self._framing = self._framing_run = 0
        self._body_in_slice = 0

    def is_between(self) -> bool:
        """Whether a request line comes next."""
        return not self.is_in_head and not self.is_in_body

    def slice_end(self, data: bytes, at: int) -> int:
        """Where the slice ends that begins at ``at``, in a head or a body."""
        self._body_in_slice = 0
        if self._body_left:
            return at + min(self._body_left, BODY_SLICE_BYTES)
        part = data[at : at + SLICE_BYTES]
        empty = _EMPTY_LINE.search(part)
        return at + (empty.end() if empty is not None else len(part))

    def begin_head(self) -> None:
        """The parser found the beginning of a request."""
        self.is_in_line, self.is_in_head, self.is_in_body, self._head = False, True, False, 0

    def begin_body(self, headers: list[tuple[bytes, bytes]], version: str) -> None:
        """The head is complete. Raises BadRequest for a body whose end could not be found."""
        self.is_in_body = True
        self._body = self._body_left = self._framing = self._framing_run = self._body_in_slice = 0
        codings = []
        hosts = []
        for name, value in headers:
            if name == b"content-length" and value.isdigit():
                self._body_left = int(value)
            elif name == b"transfer-encoding":
                codings.append(value.strip().lower())
            elif name == b"host":
                hosts.append(value)
        # RFC 9112, section 3.2.
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            raise BadRequest("The request must have one Host header.")
        if hosts and _HOST.fullmatch(hosts[0]) is None:
            raise BadRequest("The Host header is not a host and a port.")
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
            return HEAD_TOO_LARGE if self._head > MAX_HEAD_BYTES else None
        if not self.is_in_body:
            return None
        self._framing += size - self._body_in_slice
        self._framing_run = 0 if self._body_in_slice else self._framing_run + size
        allowed = MAX_FRAMING_BYTES + FRAMING_PER_BODY_BYTE * self._body
        if self._framing_run > MAX_FRAMING_BYTES or self._framing > allowed:
            return "The chunk sizes, extensions or trailers of the body are too large."
        return None
