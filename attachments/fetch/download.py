"""One GET of a vendor's URL: checks each redirect, proves that the response is a whole file, and streams its bytes.

Every failure is raised as DownloadFailed, including errors of sockets and TLS.
"""

import contextlib
import email.utils
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

from attachments.download_failures import DownloadFailed, final, transient
from attachments.fetch import content, dial, targets, url_policy
from attachments.fetch.dial import Connections
from attachments.fetch.http_connection import VendorConnection
from attachments.fetch.http_head import Head
from attachments.fetch.targets import Target
from attachments.fetch.watch import Transfer

MAX_REDIRECTS = 5
HEADERS = {"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "evermuse-ingest/1.0"}
REDIRECTS = {301, 302, 303, 307, 308}
# Status codes below 500 that may succeed later. Any other 4xx is final.
TRANSIENT = {408, 425, 429}
MAX_RETRY_AFTER_SECONDS = 86_400.0
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')

_HUNG_UP = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where an interrupted download continues: at ``offset`` of ``total`` bytes of the file with this strong ETag."""

    etag: str
    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file that is ready to be read. ``announced``: its bytes by Content-Length, or None.

    ``chunks``: the bytes as they are sent. ``codings``: the compressions to undo (`content.decoded`). ``etag``: the
    strong validator of a file that is sent without coding, else empty. ``is_continued``: the body is the rest of the
    file (206), proven by the exact Content-Range and the same ETag.
    """

    status: int
    mime_type: str
    announced: int | None
    chunks: Iterator[bytes]
    etag: str = ""
    is_continued: bool = False
    codings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Response:
    """A response whose head was read. Call ``close`` in any case."""

    head: Head
    connection: VendorConnection
    connections: Connections

    def close(self) -> None:
        """Keep the connection if it can serve another request, else close it."""
        self.connections.give_back(self.connection)


@contextlib.contextmanager
def opened(url: str, transfer: Transfer, place: ResumePoint | None = None) -> Iterator[IncomingFile]:
    """GET a URL. With ``place``, GET only the rest if the server proves that the file is the same.

    Raises DownloadFailed, also while the chunks are read.
    """
    token = dial.current.set(transfer)
    try:
        with dial.connections() as connections, contextlib.ExitStack() as responses:
            with _translated(transfer):
                response = responses.enter_context(contextlib.closing(_follow(connections, url, place)))
                is_continued = place is not None and _is_rest(response.head, place)
                if place is not None and not is_continued and response.head.status in {206, 416}:
                    response.close()
                    response = responses.enter_context(contextlib.closing(_follow(connections, url)))
                head = response.head
                if not is_continued:
                    _check_status(head)
            codings = content.codings(head.get("content-encoding"))
            yield IncomingFile(
                status=head.status,
                mime_type=head.fields.get("content-type", [""])[-1],
                announced=response.connection.announced,
                chunks=_guarded(response.connection.body(), transfer),
                etag="" if codings else _strong_etag(head),
                is_continued=is_continued,
                codings=codings,
            )
    finally:
        dial.current.reset(token)


@contextlib.contextmanager
def _translated(transfer: Transfer) -> Iterator[None]:
    """Raise errors of sockets and TLS as DownloadFailed. A transfer that the watchdog stopped fails with its reason."""
    try:
        yield
    except (DownloadFailed, OSError) as error:
        if transfer.stopped:
            raise DownloadFailed(transfer.stopped) from None
        raise (error if isinstance(error, DownloadFailed) else _reason(error)) from None


def _guarded(chunks: Iterator[bytes], transfer: Transfer) -> Iterator[bytes]:
    with _translated(transfer):
        for chunk in chunks:
            transfer.bytes_read += len(chunk)
            yield chunk
        # A body without a length seems to end when the watchdog shuts the socket down.
        if transfer.stopped:
            raise DownloadFailed(transfer.stopped)


def _follow(connections: Connections, url: str, place: ResumePoint | None = None) -> _Response:
    """The first response that is not a redirect."""
    at = url_policy.target(url)
    headers = HEADERS if place is None else {**HEADERS, "Range": f"bytes={place.offset}-", "If-Range": place.etag}
    for _ in range(MAX_REDIRECTS + 1):
        response = _sent(connections, at, headers)
        status = response.head.status
        if status not in REDIRECTS:
            return response
        locations = set(response.head.fields.get("location", []))
        response.connection.skip_body()
        response.close()
        if len(locations) != 1 or locations == {""}:
            raise final("BAD_REDIRECT", f"HTTP {status} without one Location", status)
        url = targets.redirected(url, locations.pop())
        next_at = url_policy.target(url)
        if at.scheme == "https" and next_at.scheme == "http":
            raise final("BAD_REDIRECT", "a redirect from https to http is not followed", status)
        at = next_at
    raise final("TOO_MANY_REDIRECTS", f"more than {MAX_REDIRECTS} redirects")


def _sent(connections: Connections, target: Target, headers: dict[str, str]) -> _Response:
    """Send a request and read the response's head. If a kept connection was closed just then, use a new one."""
    lines = [f"GET {target.path} HTTP/1.1", f"Host: {target.authority}", *(f"{k}: {v}" for k, v in headers.items())]
    request = "\r\n".join([*lines, "", ""]).encode("ascii")
    connection = connections.take(target)
    try:
        return _Response(connection.ask(request), connection, connections)
    except _HUNG_UP:
        transfer = dial.current.get()
        is_stopped = transfer is not None and transfer.stopped
        if connection.kept_at is None or connection.has_answered or is_stopped:
            raise
    connection = connections.take(target, is_new=True)
    return _Response(connection.ask(request), connection, connections)


def _is_rest(head: Head, place: ResumePoint) -> bool:
    """Whether a 206 holds exactly the rest of the same file."""
    return (
        head.status == 206
        and head.get("content-range") == f"bytes {place.offset}-{place.total - 1}/{place.total}"
        and head.get("etag", place.etag) == place.etag
        and not content.codings(head.get("content-encoding"))
        and head.get("content-length", str(place.total - place.offset)) == str(place.total - place.offset)
    )


def _strong_etag(head: Head) -> str:
    """The ETag if it is a strong validator (RFC 9110, 8.8.3), else an empty string."""
    etag = head.get("etag")
    return etag if _STRONG_ETAG.fullmatch(etag) else ""


def _is_whole(head: Head) -> bool:
    """Whether a successful answer to a plain request is certain to hold the whole file.

    203: a proxy has changed it. 206: a range that nobody asked for, which covers the file. 226: without a manipulation
    of the file, which nobody asked for either (RFC 3229).
    """
    if head.status == 206:
        length = head.get("content-length")
        covers = length.isascii() and length.isdigit() and f"bytes 0-{int(length[:18]) - 1}/{length}"
        return head.get("content-range").lower() == covers
    return head.status in {200, 203} or (head.status == 226 and head.get("im").lower() in {"", "identity"})


def _check_status(head: Head) -> None:
    status = head.status
    if _is_whole(head):
        return
    message = f"the server answered HTTP {status}"
    if status in TRANSIENT or status >= 500 or status == 202:
        raise transient(f"HTTP_{status}", message, status, _retry_after(head))
    if 200 <= status < 300:
        raise transient("UNEXPECTED_STATUS", f"{message} to a plain request for the whole file", status)
    raise final(f"HTTP_{status}", message, status)


def _retry_after(head: Head) -> float | None:
    """The seconds that the server asks to wait, clamped, or None."""
    text = head.get("retry-after")
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_SECONDS)
    try:
        at = email.utils.parsedate_to_datetime(text[:64]).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(at - time.time(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _reason(error: OSError) -> DownloadFailed:
    """A connection's error as a failure."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return final("TLS_FAILED", f"the server's certificate is not valid: {error.verify_message}")
    if isinstance(error, TimeoutError):
        return transient("TIMEOUT", f"the server sent nothing for {dial.READ_SECONDS:.0f} seconds")
    if isinstance(error, _HUNG_UP):
        return transient("CONNECTION_LOST", "the connection was lost before the end")
    if isinstance(error, ssl.SSLError):
        return transient("TLS_FAILED", "the TLS connection failed")
    return transient("CONNECTION_LOST", "the connection failed")
