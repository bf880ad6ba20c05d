"""What an answer says of its content, and what is believed of it."""

import mimetypes
import re
import zlib
from collections.abc import Iterable, Iterator

from attachments.failures import DownloadFailed, final, transient

_MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_HTML_OPENING = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|script)\b", re.I | re.S)
_MEDIA_TYPES = {"audio", "video", "image"}
OCTETS = "application/octet-stream"
# What decompression may give at once; a gzip of 200 kB can hold 200 MB.
STEP_BYTES = 256 * 1024
SLICE_BYTES = 16 * 1024


def plain_mime(text: str) -> str:
    """A MIME type without parameters, lower-case; empty where the text is none."""
    bare = text.partition(";")[0].strip().lower()
    return bare if _MIME.fullmatch(bare) else ""


def stored_mime(*, declared: str, answered: str, filename: str) -> str:
    """The content type to store: what the client declared, else what the server said, else by the file's name."""
    for candidate in (plain_mime(declared), plain_mime(answered), mimetypes.guess_type(filename)[0] or ""):
        if candidate and candidate != OCTETS:
            return candidate
    return OCTETS


def check_promise(*, type: str, declared_mime: str, answered_mime: str, opening: bytes) -> None:
    """Raise (final) when an HTML page came where media or another document was promised."""
    promised = plain_mime(declared_mime)
    wants_other = type in _MEDIA_TYPES or promised not in {
        "",
        "text/html",
        "application/xhtml+xml",
        "text/plain",
        OCTETS,
    }
    if not wants_other or promised in {"text/html", "application/xhtml+xml"}:
        return
    is_page = plain_mime(answered_mime) in {"text/html", "application/xhtml+xml"} or _HTML_OPENING.match(opening)
    if is_page:
        wanted = promised or type
        raise final("HTML_PAGE", f"the server answered with an HTML page where {wanted} was promised", 200)


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The content behind ``Content-Encoding``, in bounded steps. Raises DownloadFailed."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        yield from chunks
        return
    if name not in {"gzip", "x-gzip"}:
        raise final(
            "UNSUPPORTED_ENCODING", f"the server sent Content-Encoding {name[:32]} although identity was asked for"
        )
    member = zlib.decompressobj(wbits=31)
    has_begun = False
    try:
        for slice in _slices(chunks):
            rest = slice
            while rest:
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
                has_begun = True
                yield member.decompress(rest, STEP_BYTES)
                while member.unconsumed_tail:
                    yield member.decompress(member.unconsumed_tail, STEP_BYTES)
                rest = member.unused_data if member.eof else b""
        while not member.eof and (more := member.decompress(b"", STEP_BYTES)):
            yield more
    except zlib.error as error:
        raise _bad_gzip(error) from None
    if has_begun and not member.eof:
        raise transient("TRUNCATED", "the gzip stream ended before its end")


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in small pieces: what follows a gzip member is copied, and members may be tiny."""
    for chunk in chunks:
        for at in range(0, len(chunk), SLICE_BYTES):
            yield chunk[at : at + SLICE_BYTES]


def _bad_gzip(error: zlib.error) -> DownloadFailed:
    return final("UNSUPPORTED_ENCODING", f"Content-Encoding gzip, but the body does not decompress: {error}")
