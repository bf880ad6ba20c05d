"""Requests that ask for another protocol, which we do not serve."""

from collections.abc import Iterable


def without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of a request without its Upgrade header, for a new parser. ``headers``: with names in lower case.

    Java's client asks for HTTP/2 in its first request. The parser that read such a head takes the bytes after it for the
    other protocol, and not for the body.
    """
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            lines.append(b"connection: close" if b"close" in value.lower() else b"connection: keep-alive")
        elif name != b"upgrade":
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])
