"""A URL as text: the host and port to dial, and the request target byte for byte as it was given.

A signature covers the URL's text, so any other spelling of it would fail. Nothing is decoded, re-encoded, sorted or
normalized here. Only what HTTP cannot carry is percent-encoded: blanks, controls and bytes beyond ASCII. Sources: RFC
3986 (5.2 for redirects), RFC 9110 (10.2.2).
"""

import re
from dataclasses import dataclass

import idna

from attachments.download_failures import final

MAX_BYTES = 32 * 1024
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=-]+")
_LITERAL = re.compile(r"\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\]")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads.

    ``host``: to dial, in ASCII, without brackets and final dot. ``authority``: for the Host header. ``path``: with the
    query.
    """

    scheme: str
    host: str
    port: int
    authority: str = ""
    path: str = "/"


def parse(url: str) -> Target:
    """Parse an http or https URL. Raises DownloadFailed (final)."""
    scheme, authority, path = _split(url)
    if scheme not in _PORTS:
        raise final("BAD_URL", f"vendor_url must begin with http:// or https://, not {scheme[:32]}:")
    if "@" in authority:
        raise final("BAD_URL", "vendor_url must not hold a user name or password")
    bracket = authority.rfind("]") + 1
    name, colon, digits = authority[bracket:].partition(":")
    name = authority[:bracket] + name
    if colon and digits and not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        raise final("BAD_URL", "vendor_url cannot be read: its port is not a number up to 65535")
    port = int(digits) if digits else _PORTS[scheme]
    host = _ascii(name)
    # A zone has a meaning only on the sender's machine.
    told = f"{host.partition('%25')[0]}]" if "%25" in host else host
    target = Target(
        scheme,
        host.strip("[]").replace("%25", "%").rstrip(".").lower(),
        port,
        told if port == _PORTS[scheme] else f"{told}:{port}",
        _encoded(path.partition("#")[0]) or "/",
    )
    if not target.host:
        raise final("BAD_URL", "vendor_url names no host")
    if len(target.path) > MAX_BYTES:
        raise final("BAD_URL", f"the URL has more than {MAX_BYTES} bytes")
    return target


def redirected(base: str, reference: str) -> str:
    """The URL that a Location leads to from ``base``. ``reference``: one character for each byte that was sent."""
    if len(reference) > MAX_BYTES:
        raise final("BAD_REDIRECT", f"the Location has more than {MAX_BYTES} bytes")
    scheme, authority, path = _split(base)
    found = _SCHEME.match(reference)
    if found and reference.startswith(":", found.end()):
        _, authority, path = _split(reference)
        return f"{found[0]}://{_text(authority)}{_encoded_bytes(path)}"
    if reference.startswith("//"):
        _, authority, path = _split(f"{scheme}:{reference}")
        return f"{scheme}://{_text(authority)}{_encoded_bytes(path)}"
    return f"{scheme}://{authority}{_joined(path, _encoded_bytes(reference))}"


def _split(url: str) -> tuple[str, str, str]:
    """The scheme in lower case, the authority, and the rest, which is empty or begins with a slash, ``?`` or ``#``."""
    found = _SCHEME.match(url)
    if found is None or not url.startswith("://", found.end()):
        raise final("BAD_URL", "vendor_url must begin with http:// or https://")
    start = found.end() + 3
    end = min((at for mark in "/?#" if (at := url.find(mark, start)) >= 0), default=len(url))
    rest = url[end:]
    return found[0].lower(), url[start:end], rest if rest.startswith("/") else f"/{rest}"


def _ascii(name: str) -> str:
    """A host as it is dialled: international names in ASCII (UTS 46, as browsers do)."""
    if name.isascii():
        if _HOST.fullmatch(name) is None and _LITERAL.fullmatch(name) is None:
            raise final("BAD_URL", "vendor_url cannot be read: its host is neither a name nor an address")
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise final("BAD_URL", "vendor_url cannot be read: its host is not a valid international domain name") from None


def _joined(path: str, reference: str) -> str:
    """The path and query of a relative reference (RFC 3986, 5.2.2)."""
    base, _, _ = path.partition("#")
    if not reference or reference.startswith("#"):
        return base
    bare, _, _ = base.partition("?")
    if reference.startswith("?"):
        return bare + reference
    if reference.startswith("/"):
        return reference
    cut = min((at for mark in "?#" if (at := reference.find(mark)) >= 0), default=len(reference))
    return _without_dots(bare[: bare.rfind("/") + 1] + reference[:cut]) + reference[cut:]


def _without_dots(path: str) -> str:
    """A path without ``.`` and ``..`` (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _encoded(text: str) -> str:
    """The text with percent-encoded UTF-8 where HTTP needs it."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace")) for c in text)


def _encoded_bytes(text: str) -> str:
    """Like `_encoded`, for text in which each character is a byte."""
    return "".join(c if "!" <= c <= "~" else f"%{ord(c):02X}" for c in text)


def _text(authority: str) -> str:
    """The host of a Location as text. It is UTF-8 if it is not ASCII."""
    return authority.encode("latin-1").decode("utf-8", "replace")
