"""The body of a request: complete, decompressed, within the limit, and of a supported media type."""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from rest_framework.request import Request

from evermuse.asgi_body import AWAITED, COMPLETE, MAX_BODY_BYTES, TIMED_OUT, TOO_LARGE, BodyAwaited
from ingest.parsers import syntax_error
from ingest.refusals import Refusal, invalid_body
from lake.envelope_errors import check_object
from lake.models import Payload

T = TypeVar("T", bound=msgspec.Struct)

# zlib copies what follows a member. With larger slices a body of many empty members would take minutes.
_GZIP_SLICE_BYTES = 4096
_TOO_LARGE = f"The body is larger than 5 MB ({MAX_BODY_BYTES} bytes after decompression): send smaller batches."


@dataclass(frozen=True, slots=True)
class Body:
    """A decompressed body of a known media type."""

    media_type: str
    content: bytes


def read(request: Request) -> Body:
    """The request's body. Raises the refusals for 415, 413 and an incomplete body, in this order.

    Raises BodyAwaited if the body has not arrived yet; the view runs again when it has.
    """
    headers = request.META
    media_type = _media_type(str(headers.get("CONTENT_TYPE", "")))
    encoding = headers.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() or "identity"
    if encoding not in {"identity", "gzip"}:
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Encoding must be identity or gzip.")
    sent = _sent(headers)
    content = gunzip(sent) if encoding == "gzip" else sent
    if len(content) > MAX_BODY_BYTES:
        raise Refusal(413, "PAYLOAD_TOO_LARGE", _TOO_LARGE)
    return Body(media_type, content)


def read_object(request: Request, kind: type[T]) -> T:
    """A JSON object checked by its struct. Raises 415, 413, INVALID_JSON, and INVALID_BODY with field and rule."""
    body = read(request)
    if body.media_type != Payload.Media.JSON:
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json here.")
    content = body.content.removeprefix(b"\xef\xbb\xbf")
    found = check_object(content, kind)
    if not isinstance(found, list):
        return found
    if (refusal := syntax_error(content)) is not None:
        raise refusal
    details = [{"pointer": error.pointer, "message": error.message} for error in found]
    raise invalid_body(f"{found[0].message}.", details=details)


def gunzip(sent: bytes) -> bytes:
    """All members of a gzip stream. It stops one byte over the limit, so that a bomb costs no memory.

    Raises 413 over the limit, and 400 if the stream is truncated or is not gzip.
    """
    parts: list[bytes] = []
    room = MAX_BODY_BYTES + 1
    member = zlib.decompressobj(wbits=31)
    at = 0
    while at < len(sent):
        if member.eof:
            if sent[at] == 0 and not sent[at:].strip(b"\0"):
                break
            member = zlib.decompressobj(wbits=31)
        slice = sent[at : at + _GZIP_SLICE_BYTES]
        try:
            part = member.decompress(slice, room)
        except zlib.error as error:
            raise invalid_body(f"Content-Encoding: gzip: the body does not decompress ({error}).") from None
        parts.append(part)
        room -= len(part)
        if room <= 0:
            raise Refusal(413, "PAYLOAD_TOO_LARGE", _TOO_LARGE)
        at += len(slice) - len(member.unused_data)
    if not member.eof:
        raise invalid_body("Content-Encoding: gzip: the stream is cut off before its end.")
    return b"".join(parts)


@lru_cache(64)
def _media_type(content_type: str) -> str:
    given, _, parameters = content_type.partition(";")
    media_type = given.strip().lower()
    charset = next(
        (
            v.strip().strip('"').lower()
            for k, _, v in (p.partition("=") for p in parameters.split(";"))
            if k.strip().lower() == "charset"
        ),
        "utf-8",
    )
    if media_type not in Payload.Media.values or charset not in {"utf-8", "utf8", "us-ascii"}:
        raise Refusal(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Content-Type must be application/json or application/x-ndjson, in UTF-8.",
        )
    return media_type


def _sent(environ: dict[str, Any]) -> bytes:
    """The body's bytes as received. Behind a server other than ours, only Content-Length proves that it is complete."""
    if "evermuse.sent" in environ:
        return bytes(environ["evermuse.sent"])
    ending = environ.get("evermuse.body")
    if ending == AWAITED:
        raise BodyAwaited
    if ending == TOO_LARGE:
        raise Refusal(413, "PAYLOAD_TOO_LARGE", _TOO_LARGE)
    if ending == TIMED_OUT:
        raise invalid_body("The body did not arrive in time: nothing was stored.")
    announced = environ.get("CONTENT_LENGTH") or ""
    if ending != COMPLETE and not announced.isdigit():
        raise invalid_body("The end of the body cannot be verified: send a Content-Length.")
    length = int(announced)
    sent: bytes = environ["wsgi.input"].read(length)
    if len(sent) != length:
        raise invalid_body("The body ended before its Content-Length: nothing was stored.")
    environ["evermuse.sent"] = sent
    return sent
