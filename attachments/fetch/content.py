"""The MIME type and the content codings of a response."""

import mimetypes
import re
import zlib
from collections.abc import Iterable, Iterator

from attachments.download_failures import DownloadFailed, final, transient

_MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
OCTETS = "application/octet-stream"
# Content-Encoding may also have values that name no compression (`base64`, `UTF-8`, `aws-chunked`), because object
# stores repeat the uploader's header. Only these codings mean that the file's bytes differ from the bytes that
# were sent.
COMPRESSIONS = {
    "gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz", "xz", "x-xz", "lzma", "bzip2",
    "x-bzip2", "exi", "pack200-gzip", "lz4", "snappy",
}  # fmt: skip
MAX_CODINGS = 2
# The types of encodings that `mimetypes` finds in file names, if they are not called `application/x-` and the encoding.
_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}
# The most bytes that one step of decompression returns. A gzip of 200 kB can hold 200 MB.
STEP_BYTES = 256 * 1024
SLICE_BYTES = 16 * 1024


def plain_mime(text: str) -> str:
    """A MIME type without parameters and in lower case, or an empty string if the text is not a MIME type."""
    bare = text.partition(";")[0].strip().lower()
    return bare if _MIME.fullmatch(bare) else ""


def mime_of_name(filename: str) -> str:
    """The type that a file name promises, or an empty string. For `a.csv.gz` it is the compression's type, because those
    are the bytes that are stored.
    """
    guessed, encoding = mimetypes.guess_type(f"_{filename[-64:]}")
    return guessed or "" if encoding is None else _PACKED.get(encoding, f"application/x-{encoding}")


def stored_mime(*, declared: str, answered: str, filename: str) -> str:
    """The content type to store: declared by the client, else sent by the server, else guessed from the file name."""
    for candidate in (plain_mime(declared), plain_mime(answered), mime_of_name(filename)):
        if candidate and candidate != OCTETS:
            return candidate
    return OCTETS


def codings(content_encoding: str) -> tuple[str, ...]:
    """The compressions that a Content-Encoding names, in the order in which they were applied."""
    tokens = (part.partition(";")[0].strip().lower() for part in content_encoding.split(","))
    return tuple(token for token in tokens if token in COMPRESSIONS)


def can_decode(applied: tuple[str, ...]) -> bool:
    """Whether `decoded` supports these codings."""
    return len(applied) <= MAX_CODINGS and all(coding in _WINDOW for coding in applied)


def decoded(chunks: Iterable[bytes], applied: tuple[str, ...]) -> Iterator[bytes]:
    """The decoded content, in steps of bounded size. Raises DownloadFailed."""
    if not can_decode(applied):
        told = ", ".join(applied[:4])
        raise final("UNSUPPORTED_ENCODING", f"the server sent Content-Encoding {told}, although identity was requested")
    for coding in reversed(applied):
        chunks = _inflated(chunks, coding)
    yield from chunks


# zlib's `wbits`. 31 expects a gzip header. For `deflate` the first byte decides.
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 0}


def _inflated(chunks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    wbits = _WINDOW[coding]
    member = None
    try:
        for piece in _slices(chunks):
            rest = piece
            while rest:
                if member is None:
                    # `deflate` means zlib's format (RFC 9110), but some servers send the bare stream.
                    member = zlib.decompressobj(wbits or (15 if rest[0] & 0x0F == 8 else -15))
                elif member.eof:
                    if not wbits:
                        raise final("UNSUPPORTED_ENCODING", "bytes follow the end of the deflate stream")
                    # gzip ignores zeros after a member: they fill blocks.
                    if not (rest := rest.lstrip(b"\0")):
                        break
                    member = zlib.decompressobj(wbits)
                yield member.decompress(rest, STEP_BYTES)
                while member.unconsumed_tail:
                    yield member.decompress(member.unconsumed_tail, STEP_BYTES)
                rest = member.unused_data if member.eof else b""
        while member is not None and not member.eof and (more := member.decompress(b"", STEP_BYTES)):
            yield more
    except zlib.error as error:
        raise _broken(coding, error) from None
    if member is not None and not member.eof:
        raise transient("TRUNCATED", f"the {coding} stream ended before its end")


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in small pieces. zlib copies what follows a gzip member, and members may be tiny."""
    for chunk in chunks:
        for at in range(0, len(chunk), SLICE_BYTES):
            yield chunk[at : at + SLICE_BYTES]


def _broken(coding: str, error: zlib.error) -> DownloadFailed:
    return final("UNSUPPORTED_ENCODING", f"Content-Encoding {coding}, but the body does not decompress: {error}")
