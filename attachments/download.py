"""One GET of a vendor's URL: redirects checked hop by hop, the answer proven to be a whole file, its bytes streamed.

Everything that can go wrong is raised as DownloadFailed with a reason; urllib3's and requests' errors end here.
"""

import contextlib
import email.utils
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urljoin

import requests
import urllib3
from requests import Response

from attachments import content, dial, url_policy
from attachments.failures import DownloadFailed, final, transient
from attachments.watch import Transfer

MAX_REDIRECTS = 5
CHUNK_BYTES = 256 * 1024
HEADERS = {"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "evermuse-ingest/1.0"}
REDIRECTS = {301, 302, 303, 307, 308}
# Codes below 500 that may pass; of the others, a 4xx is final.
TRANSIENT = {408, 425, 429}
MAX_RETRY_AFTER_SECONDS = 86_400.0
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')

_HUNG_UP = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_FAULTS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, HTTPException, UnicodeError, ValueError)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an interrupted download goes on: behind ``offset`` of ``total`` bytes of the file with this strong ETag."""

    etag: str
    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that is still to be read. ``announced``: its bytes by Content-Length, None where there is none.

    ``etag``: the strong validator of a file that is sent as it is, else empty. ``is_continued``: the body is the rest
    behind the asked place (206), proven by the exact Content-Range and the same ETag.
    """

    status: int
    mime_type: str
    announced: int | None
    chunks: Iterator[bytes]
    etag: str = ""
    is_continued: bool = False


@contextlib.contextmanager
def opened(url: str, transfer: Transfer, place: Place | None = None) -> Iterator[Answer]:
    """GET a URL, or the rest of it behind a place where the server proves that it is the same file.

    Raises DownloadFailed, also from the chunks while they are read.
    """
    token = dial.current.set(transfer)
    try:
        with dial.adapter() as adapter, contextlib.ExitStack() as responses:
            with _translated(transfer):
                response = responses.enter_context(contextlib.closing(_follow(adapter, url, place)))
                is_continued = place is not None and _is_rest(response, place)
                if place is not None and not is_continued and response.status_code in {206, 416}:
                    response.close()
                    response = responses.enter_context(contextlib.closing(_follow(adapter, url)))
                if not is_continued:
                    _check_status(response)
                announced = _announced(response)
            encoding = response.headers.get("Content-Encoding", "")
            chunks = _guarded(content.decoded(_raw_chunks(response, transfer, announced), encoding), transfer)
            yield Answer(
                status=response.status_code,
                mime_type=response.headers.get("Content-Type", ""),
                announced=announced,
                chunks=chunks,
                etag=_strong_etag(response) if _is_identity(encoding) else "",
                is_continued=is_continued,
            )
    finally:
        dial.current.reset(token)


@contextlib.contextmanager
def _translated(transfer: Transfer) -> Iterator[None]:
    """Libraries' errors as reasons; what the watchdog stopped fails with its reason, not with the reset it caused."""
    try:
        yield
    except (DownloadFailed, *_FAULTS) as error:
        if transfer.stopped:
            raise DownloadFailed(transfer.stopped) from None
        raise (error if isinstance(error, DownloadFailed) else _reason(error)) from None


def _guarded(chunks: Iterator[bytes], transfer: Transfer) -> Iterator[bytes]:
    with _translated(transfer):
        yield from chunks


def _follow(adapter: dial.CheckedAdapter, url: str, place: Place | None = None) -> Response:
    """The first answer that is no redirect."""
    at = url_policy.target(url)
    headers = HEADERS if place is None else {**HEADERS, "Range": f"bytes={place.offset}-", "If-Range": place.etag}
    for _ in range(MAX_REDIRECTS + 1):
        response = _sent(adapter, requests.Request("GET", url, headers=headers).prepare())
        if response.status_code not in REDIRECTS:
            return response
        location = response.headers.get("Location", "")
        response.close()
        if not location:
            raise final("BAD_REDIRECT", f"HTTP {response.status_code} without a Location", response.status_code)
        # requests gives header values as Latin-1; a Location is often UTF-8 all the same.
        url = urljoin(url, location.encode("latin-1").decode("utf-8", "replace"))
        next_at = url_policy.target(url)
        if at.scheme == "https" and next_at.scheme == "http":
            raise final("BAD_REDIRECT", "a redirect from https to http is not followed", response.status_code)
        at = next_at
    raise final("TOO_MANY_REDIRECTS", f"more than {MAX_REDIRECTS} redirects")


def _sent(adapter: dial.CheckedAdapter, request: requests.PreparedRequest) -> Response:
    """The answer's head. A kept connection that the server closed just then says nothing of the file: once more, anew."""
    timeouts = (dial.CONNECT_SECONDS, dial.READ_SECONDS)
    try:
        return adapter.send(request, stream=True, timeout=timeouts, proxies={})
    except requests.RequestException as error:
        transfer = dial.current.get()
        if transfer is None or not transfer.is_kept or transfer.stopped or not dial.behind(error, _HUNG_UP):
            raise
        return adapter.send(request, stream=True, timeout=timeouts, proxies={})


def _is_rest(response: Response, place: Place) -> bool:
    """Whether a 206 is just the rest of the same file."""
    return (
        response.status_code == 206
        and response.headers.get("Content-Range", "").strip() == f"bytes {place.offset}-{place.total - 1}/{place.total}"
        and response.headers.get("ETag", place.etag).strip() == place.etag
        and _is_identity(response.headers.get("Content-Encoding", ""))
        and response.headers.get("Content-Length", str(place.total - place.offset)) == str(place.total - place.offset)
    )


def _strong_etag(response: Response) -> str:
    """The ETag, where it promises equal bytes (RFC 9110, 8.8.3); else empty."""
    etag = response.headers.get("ETag", "").strip()
    return etag if _STRONG_ETAG.fullmatch(etag) else ""


def _is_identity(encoding: str) -> bool:
    return encoding.strip().lower() in {"", "identity"}


def _check_status(response: Response) -> None:
    status = response.status_code
    if status == 200:
        return
    message = f"the server answered HTTP {status}"
    if status in TRANSIENT or status >= 500 or status == 202:
        raise transient(f"HTTP_{status}", message, status, _retry_after(response))
    if 200 <= status < 300:
        raise transient("UNEXPECTED_STATUS", f"{message} to a plain request for the whole file", status)
    raise final(f"HTTP_{status}", message, status)


def _retry_after(response: Response) -> float | None:
    """Seconds that the server asks to wait, clamped; None where it says nothing that can be read."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_SECONDS)
    try:
        at = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(at - time.time(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _announced(response: Response) -> int | None:
    """The body's length by its header. Raises for one that is no length."""
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return None
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    values = {part.strip() for part in text.split(",")}
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise transient("BAD_RESPONSE", f"the server sent Content-Length {text[:64]!r}", 200)
    return int(value)


def _raw_chunks(response: Response, transfer: Transfer, announced: int | None) -> Iterator[bytes]:
    """The body as it comes over the wire. Raises for one that ends before its announced length."""
    received = 0
    while chunk := _read(response):
        received += len(chunk)
        transfer.bytes_read += len(chunk)
        yield chunk
    if transfer.stopped:
        raise DownloadFailed(transfer.stopped)
    if announced is not None and received != announced:
        raise transient("TRUNCATED", f"the body ended after {received} of {announced} bytes", 200)


def _read(response: Response) -> bytes:
    """What one read of the socket gives, so that the watchdog sees slow bytes too."""
    chunk: bytes = response.raw.read1(CHUNK_BYTES, decode_content=False)
    return chunk


def _reason(error: Exception) -> DownloadFailed:
    """A library's error as a reason."""
    if refusal := dial.behind(error, DownloadFailed):
        return refusal
    certificate = dial.behind(error, ssl.SSLCertVerificationError)
    if certificate:
        return final("TLS_FAILED", f"the server's certificate is not valid: {certificate.verify_message}")
    if dial.behind(error, ssl.SSLError):
        return transient("TLS_FAILED", "the TLS connection failed")
    if dial.behind(error, urllib3.exceptions.IncompleteRead):
        return transient("TRUNCATED", "the body ended before its announced end")
    if (
        dial.behind(error, TimeoutError)
        or dial.behind(error, urllib3.exceptions.TimeoutError)
        or dial.behind(error, requests.Timeout)
    ):
        return transient("TIMEOUT", f"the server sent nothing for {dial.READ_SECONDS:.0f} seconds")
    if isinstance(error, requests.exceptions.InvalidURL | urllib3.exceptions.LocationParseError):
        return final("BAD_URL", "vendor_url cannot be requested")
    if dial.behind(error, ConnectionError) or dial.behind(error, urllib3.exceptions.ProtocolError):
        return transient("CONNECTION_LOST", "the connection was lost before the end")
    return transient("BAD_RESPONSE", f"the answer cannot be read ({type(error).__name__})")
