"""Request lines that the parser refuses, but that clients send and other servers accept.

- A method that the parser does not know gets the application's 405, with the methods that the path allows. So does "get",
  because methods are case-sensitive.
- A byte outside ASCII in the URL: curl sends "é" as it was typed.
- HTTP/1.2 and later are read as HTTP/1.1 (RFC 9110, section 2.5). Another major version gets a 505.
"""

import re
from http import HTTPMethod

from evermuse.web.request_bytes import BadRequest

_LINE = re.compile(rb"([A-Za-z][A-Za-z_-]{0,63}) ([^ \r\n]+) HTTP/(\d{1,4})(?:\.(\d))?(\r?\n)")
_EMPTY = re.compile(rb"[\r\n]*")
_KNOWN = frozenset(method.value.encode() for method in HTTPMethod)


class OtherVersion(BadRequest):
    """The request line names a major version of HTTP that this server does not speak."""

    status, code = 505, "HTTP_VERSION_NOT_SUPPORTED"


def find(data: bytes, at: int) -> tuple[int, int | None]:
    """Where the next request line begins, after empty lines, and where it ends. No end: it has not arrived whole.

    What cannot be a request line, such as the beginning of TLS, ends at once, so that the parser refuses it.
    """
    match = _EMPTY.match(data, at)
    assert match is not None
    begin = match.end()
    if begin == len(data):
        return begin, None
    if not data[begin : begin + 1].isalpha():
        return begin, len(data)
    return begin, data.find(b"\n", begin) + 1 or None


def mended(line: bytes) -> tuple[str | None, bytes]:
    """The method of a request line, and the line in a form that the parser accepts. Raises OtherVersion.

    No method: the parser names it, or refuses the line. The method in the line may differ.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return None, line
    method, target, major, minor, end = match.groups()
    if major != b"1":
        raise OtherVersion("This server speaks HTTP/1.1 and HTTP/1.0.")
    if minor is None:
        return None, line
    taken = method if method in _KNOWN else b"PUT"
    if not target.isascii():
        target = re.sub(rb"[\x80-\xff]", lambda byte: b"%%%02X" % byte[0][0], target)
    # Django would take "get" for GET.
    name = method.decode() if method.isupper() else "UNKNOWN"
    return name, b"%b %b HTTP/1.%b%b" % (taken, target, b"0" if minor == b"0" else b"1", end)
