"""Whether the response is the promised file, and not a login page or a JSON error.

Strangers choose the bytes that are examined, so every check takes linear time: `find` and `startswith`, and no pattern
that can backtrack.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from attachments.download_failures import DownloadFailed, final
from attachments.fetch import content

_MEDIA_TYPES = {"audio", "video", "image"}
_HTML = {"text/html", "application/xhtml+xml"}
# These types promise nothing: any text may have them.
_LOOSE = {
    "text/plain", "text/markdown", "text/x-markdown", "text/javascript", "application/javascript", "text/yaml",
    "application/yaml", "application/x-yaml", "application/x-httpd-php", "application/x-sh", "application/sql",
    "application/binary", "binary/octet-stream", content.OCTETS,
}  # fmt: skip
# Servers send these for everything they do not know, also for error texts.
_JSON_ANSWERS = {"application/json", "text/json", "application/x-ndjson", "application/ndjson"}
_PAGE_TAGS = (
    b"!doctype html", b"html", b"head", b"body", b"title", b"script", b"meta", b"link", b"style", b"base", b"iframe",
)  # fmt: skip
# Office programs save sheets and letters as HTML under .xls and .doc. The first lines say so.
_OFFICE_HTML = b"urn:schemas-microsoft-com:office"
_WHITESPACE = b" \t\r\n\f\v"
# Files of these types are not text, but may begin like text.
_TEXT_SIGNATURES = (b"%PDF-", b"%!PS", b"{\\rtf")
# Text contains no control characters other than white space and escape.
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\v\f\r\x1b")


@dataclass(frozen=True, slots=True)
class Promised:
    """What a client declared about a file: its type, and MIME types that were declared or follow from a file name."""

    type: str
    mimes: tuple[str, ...]

    @property
    def may_be_html(self) -> bool:
        """Whether the file itself could be an HTML page."""
        if any(mime in _HTML for mime in self.mimes):
            return True
        return self.type not in _MEDIA_TYPES and all(mime in _LOOSE for mime in self.mimes)

    @property
    def may_be_json(self) -> bool:
        """Whether the file itself could be a JSON document."""
        if any(mime in _JSON_ANSWERS or mime.endswith(("+json", "json-seq")) for mime in self.mimes):
            return True
        return self.type not in _MEDIA_TYPES and all(mime in _LOOSE for mime in self.mimes)

    @property
    def is_text(self) -> bool:
        """Whether the promised file is some kind of text, which may begin in any way."""
        return any(mime.startswith(("text/", "message/")) or mime.endswith(("xml", "json")) for mime in self.mimes)

    @property
    def words(self) -> str:
        """The promise in a message: the first MIME type, or else the type."""
        return next((mime for mime in self.mimes if mime not in _LOOSE), self.type)


def promised(*, type: str, declared_mimes: Iterable[str], filenames: Iterable[str]) -> Promised:
    """The promise made by the type, the declared MIME types and the file names' extensions together."""
    mimes = [content.plain_mime(declared) for declared in declared_mimes]
    mimes += [content.mime_of_name(name) for name in filenames]
    return Promised(type, tuple(dict.fromkeys(mime for mime in mimes if mime)))


def refuse_other(wanted: Promised, *, answered_mime: str, opening: bytes) -> None:
    """Raise DownloadFailed (final) for a page or a JSON error instead of the promised file. ``opening``: the first bytes."""
    text = _as_utf8(opening)
    if text.startswith(_TEXT_SIGNATURES) or _is_binary(text):
        return
    answered = content.plain_mime(answered_mime)
    if not wanted.may_be_html and _is_page(wanted, answered, text):
        raise _unexpected("an HTML page", wanted)
    if not wanted.may_be_json and _is_json(wanted, answered, text):
        raise _unexpected("a JSON document", wanted)


def _unexpected(came: str, wanted: Promised) -> DownloadFailed:
    return final("UNEXPECTED_CONTENT", f"the content is {came} instead of the promised {wanted.words}", 200)


def _is_page(wanted: Promised, answered: str, opening: bytes) -> bool:
    if _OFFICE_HTML in opening.lower():
        return False
    # Scripts often serve text as text/html. In that case only the bytes count.
    if answered in _HTML and not wanted.is_text:
        return True
    return opens_as_html(opening)


def _is_json(wanted: Promised, answered: str, opening: bytes) -> bool:
    head = opening.lstrip(_WHITESPACE)
    if answered in _JSON_ANSWERS or answered.endswith("+json"):
        return not wanted.is_text or head.startswith((b"{", b"["))
    return not wanted.is_text and head.startswith(b"{") and head[1:].lstrip(_WHITESPACE).startswith(b'"')


def opens_as_html(opening: bytes) -> bool:
    """Whether the bytes begin like an HTML page, after white space, comments and an XML declaration."""
    at, size = 0, len(opening)
    while True:
        while at < size and opening[at] in _WHITESPACE:
            at += 1
        closing = b"-->" if opening.startswith(b"<!--", at) else b"?>" if opening.startswith(b"<?", at) else b""
        if not closing:
            break
        end = opening.find(closing, at + 2)
        if end < 0:
            return False
        at = end + len(closing)
    if not opening.startswith(b"<", at):
        return False
    # The longest tag fits here, and so does `doctype   html` with any white space.
    start = b" ".join(opening[at + 1 : at + 65].lower().split())
    return any(start.startswith(tag) and not start[len(tag) : len(tag) + 1].isalnum() for tag in _PAGE_TAGS)


def _is_binary(opening: bytes) -> bool:
    return len(opening.translate(None, _CONTROLS)) != len(opening)


def _as_utf8(opening: bytes) -> bytes:
    """The opening without its byte order mark, and UTF-16 converted to UTF-8."""
    for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if opening.startswith(mark):
            return opening[2:].decode(codec, "ignore").encode("utf-8", "ignore")
    return opening.removeprefix(b"\xef\xbb\xbf")
