"""The chunked transfer coding (RFC 9112, 7.1). Strict, so that framing is never taken for content."""

import re

from attachments.download_failures import transient
from attachments.fetch import http_head

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\0]*)?")
MAX_LINE_BYTES = 8 * 1024
MAX_TRAILER_BYTES = 64 * 1024


class Chunks:
    """Decodes a chunked body. ``rest``: the bytes after the end of the body."""

    def __init__(self) -> None:
        self.is_complete = False
        self.rest = b""
        self._line = b""
        self._left = 0
        self._is_behind_data = False
        self._size_ended_with_cr = True
        self._trailer_bytes = -1  # until the last chunk

    def feed(self, received: bytes) -> bytes:
        """Return the content in the next bytes, possibly none. Raises DownloadFailed."""
        pieces, at, size = [], 0, len(received)
        while at < size and not self.is_complete:
            if self._left:
                piece = received[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._is_behind_data = not self._left
                continue
            end = received.find(b"\n", at) + 1
            self._line += received[at : end or size]
            if len(self._line) > (MAX_LINE_BYTES if self._trailer_bytes < 0 else MAX_TRAILER_BYTES):
                raise http_head.bad("a line of the chunked coding without end", 200)
            if not end:
                break
            at = end
            line, self._line = self._line[:-1], b""
            self._take(line.removesuffix(b"\r"), ends_with_cr=line.endswith(b"\r"))
        if self.is_complete:
            self.rest += received[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> None:
        """Call when the connection ends. Raises DownloadFailed if the last chunk is missing."""
        # The last chunk proves that the body is complete. Some servers leave out the empty line after it.
        if not self.is_complete and (self._trailer_bytes or self._line):
            raise transient("TRUNCATED", "the body ended before its last chunk", 200)
        self.is_complete = True

    def _take(self, line: bytes, *, ends_with_cr: bool) -> None:
        """Take a complete line of framing."""
        if self._is_behind_data:
            if line:
                raise http_head.bad("a chunk that is longer than announced", 200)
            # With one byte too many announced, the CR of the line end would pass for content.
            if ends_with_cr != self._size_ended_with_cr:
                raise http_head.bad("a chunk whose size and content end in different line ends", 200)
            self._is_behind_data = False
        elif self._trailer_bytes >= 0:
            self._trailer_bytes += len(line) + 1
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise http_head.bad("trailers without end", 200)
            self.is_complete = not line
        else:
            found = _SIZE.fullmatch(line)
            if found is None:
                raise http_head.bad("a chunk without a size", 200)
            self._left = int(found[1], 16)
            self._size_ended_with_cr = ends_with_cr
            if not self._left:
                self._trailer_bytes = 0
