"""Request lines that the parser refuses, but that clients send and other servers accept.

- A method that the parser does not know gets the application's 405, with the methods that the path allows. So does "get",
  because methods are case-sensitive.
- A byte outside ASCII in the URL: curl sends "é" as it was typed.
"""

import re
from http import HTTPMethod

_LINE = re.compile(rb"(?:\r?\n)*([A-Za-z][A-Za-z_-]{0,63}) ([^ \r\n]{1,65536})( HTTP/1\.[01]\r?\n)")
_KNOWN = frozenset(method.value.encode() for method in HTTPMethod)


def mended(data: bytes, at: int) -> tuple[str, bytes] | None:
    """The method of the request at ``at``, and the data from there in a form that the parser accepts.

    None if the request line is incomplete, or is one that the parser accepts. The method in the data may differ.
    """
    line = _LINE.match(data, at)
    if line is None:
        return None
    method, target, rest = line.groups()
    taken = method if method in _KNOWN else b"PUT"
    encoded = re.sub(rb"[\x80-\xff]", lambda byte: b"%%%02X" % byte[0][0], target)
    if (taken, encoded) == (method, target):
        return None
    # Django would take "get" for GET.
    name = method.decode() if method.isupper() else "UNKNOWN"
    return name, b"%b %b%b" % (taken, encoded, rest) + data[line.end() :]
