"""Kept connections serve several downloads of a thread like new ones do, and end with the loop that uses them."""

import fcntl
import io
import socket
import ssl
import sys
import termios
import threading
from collections.abc import Callable

import pytest
import trustme

from attachments import fetching
from attachments.download_failures import DownloadFailed, DownloadFailure
from attachments.fetch import dial, download
from attachments.fetch.watch import watchdog
from attachments.models import DownloadAttempt
from ingest.models import Workspace
from tests.attachments.journey import file, run, send
from tests.attachments.vendor import Exchange, Vendor
from tests.http_client import ApiClient
from tests.journeys.stack import until

BODY = bytes(range(256)) * 40


def fetch(url: str, *, size: int | None = None) -> bytes:
    """Returns the body, or its first bytes if a size is given."""
    with watchdog.watching(seconds=20) as transfer, download.opened(url, transfer) as answer:
        if size is not None:
            return next(answer.chunks)[:size]
        return b"".join(answer.chunks)


def failure_of(url: str) -> DownloadFailure:
    with pytest.raises(DownloadFailed) as caught:
        fetch(url)
    return caught.value.failure


def good(vendor: Vendor, path: str = "/good") -> str:
    return vendor.on(path, lambda x: x.keep(BODY))


class Closing:
    """Answers on a new connection; on a kept one, closes it after the request without an answer."""

    def __init__(self, *, by_reset: bool = False) -> None:
        self.by_reset = by_reset
        self.seen: list[socket.socket] = []

    def __call__(self, exchange: Exchange) -> None:
        if exchange.socket not in self.seen:
            self.seen.append(exchange.socket)
            exchange.keep(BODY)
        elif self.by_reset:
            exchange.reset()


def test_one_connection_serves_all_downloads_of_a_loop_and_is_closed_at_its_end(vendor: Vendor) -> None:
    with dial.keeping_connections():
        assert [fetch(good(vendor, path)) for path in ("/a", "/b", "/c")] == [BODY] * 3
        assert (vendor.connections, vendor.open_connections) == (1, 1)
    until(lambda: vendor.open_connections == 0, "the connection is closed after the loop")
    fetch(good(vendor))
    until(lambda: vendor.open_connections == 0, "a download outside a loop keeps no connection")
    assert vendor.connections == 2


def test_kept_connection_returns_what_a_new_connection_returns(vendor: Vendor) -> None:
    """Keeping connections saves handshakes; the plain way is a new connection for each file."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    urls = [
        good(vendor, "/whole"),
        vendor.on("/chunked", lambda x: x.send(chunked)),
        vendor.on("/moved", lambda x: x.answer(status="302 Found", Location="/whole")),
        vendor.on("/missing", lambda x: x.answer(status="404 Not Found")),
        vendor.on("/busy", lambda x: x.answer(status="503 Busy", Retry_After="7")),
        vendor.on("/short", lambda x: x.answer(b"abc", Content_Length="9")),
        vendor.on("/unclear", lambda x: x.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab")),
    ]

    def outcome(url: str) -> bytes | DownloadFailure:
        try:
            return fetch(url)
        except DownloadFailed as failed:
            return failed.failure

    # A good file before and after each of them, so that the next request uses a connection that has served one.
    order = [one for url in urls for one in (urls[0], url)]
    plain = [outcome(url) for url in order]
    with dial.keeping_connections():
        kept = [outcome(url) for url in order]
    assert kept == plain
    assert plain[:4] == [BODY, BODY, BODY, b"hello"]
    assert sum(isinstance(one, DownloadFailure) for one in plain) == 4


def test_kept_tls_connection_is_reused_and_can_be_stopped(secure_vendor: Vendor) -> None:
    with dial.keeping_connections():
        assert [fetch(good(secure_vendor)) for _ in range(3)] == [BODY] * 3
        assert secure_vendor.connections == 1
        # The watchdog reaches the socket below TLS.
        assert failure_of_stopped(secure_vendor.on("/stall", lambda x: x.stall())).code == "INTERRUPTED"


def test_untrusted_certificate_is_rejected_on_a_kept_connection(vendor: Vendor) -> None:
    vendor.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(vendor.tls)
    with dial.keeping_connections():
        assert failure_of(good(vendor)).code == "TLS_FAILED"


@pytest.mark.parametrize("by_reset", [False, True])
def test_request_is_repeated_when_the_vendor_closes_a_kept_connection(vendor: Vendor, by_reset: bool) -> None:
    url = vendor.on("/a", Closing(by_reset=by_reset))
    with dial.keeping_connections():
        assert [fetch(url), fetch(url)] == [BODY, BODY]
    assert (len(vendor.requests), vendor.connections) == (3, 2)


def test_closed_new_connection_fails_without_a_second_request(vendor: Vendor) -> None:
    with dial.keeping_connections():
        assert failure_of(vendor.on("/a", lambda x: x.reset())).code == "CONNECTION_LOST"
    assert len(vendor.requests) == 1


def test_connection_that_the_vendor_closed_is_not_reused(vendor: Vendor) -> None:
    def last(exchange: Exchange) -> None:
        exchange.keep(BODY)
        exchange.is_kept = False  # closed without a "Connection: close"

    with dial.keeping_connections():
        fetch(vendor.on("/last", last))
        until(lambda: vendor.open_connections == 0, "the vendor has closed the connection")
        assert fetch(good(vendor)) == BODY
    assert len(vendor.requests) == 2


def test_connection_that_idled_too_long_is_not_reused(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    with dial.keeping_connections():
        fetch(good(vendor))
        monkeypatch.setattr(dial, "KEPT_SECONDS", -1.0)
        fetch(good(vendor))
    assert vendor.connections == 2


def test_connection_with_an_unread_body_is_not_reused(vendor: Vendor) -> None:
    long = vendor.on("/long", lambda x: x.keep(bytes(50_000_000)))
    with dial.keeping_connections():
        assert fetch(long, size=10) == bytes(10)
        assert fetch(good(vendor)) == BODY
    assert vendor.connections == 2


def test_connection_of_a_failed_download_is_closed(vendor: Vendor) -> None:
    def refused(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        exchange.is_kept = True

    with dial.keeping_connections():
        fetch(good(vendor))
        assert failure_of(vendor.on("/missing", refused)).code == "HTTP_404"
        until(lambda: vendor.open_connections == 0, "the connection is closed")
        assert fetch(good(vendor)) == BODY


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def test_connection_with_unrequested_bytes_is_not_reused(vendor: Vendor) -> None:
    def poisoned(exchange: Exchange) -> None:
        exchange.keep(BODY)
        exchange.send(EVIL)
        until(lambda: unacknowledged(exchange.socket) == 0, "the client has received all of it")

    with dial.keeping_connections():
        assert fetch(vendor.on("/poisoned", poisoned)) == BODY
        until(lambda: vendor.busy == 0, "the vendor has sent all of it")
        assert fetch(good(vendor)) == BODY
    assert vendor.connections == 2


def unacknowledged(sock: socket.socket) -> int:
    """The number of bytes that the other side's kernel has not acknowledged."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_connection_with_unread_tls_bytes_is_not_reused(secure_vendor: Vendor) -> None:
    def poisoned(exchange: Exchange) -> None:
        # One TLS record: a reader's buffer takes everything before the second answer, and the rest stays inside TLS.
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood".ljust(io.DEFAULT_BUFFER_SIZE) + EVIL)
        exchange.is_kept = True

    with dial.keeping_connections():
        assert fetch(secure_vendor.on("/poisoned", poisoned)) == b"good"
        assert fetch(good(secure_vendor)) == BODY
    assert secure_vendor.connections == 2


@pytest.mark.usefixtures("empty_store")
def test_connection_is_not_shared_between_workspaces(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor
) -> None:
    foreign = new_client(of=other_workspace)
    send(api, file(good(vendor, "/a")), file(good(vendor, "/b")))
    send(foreign, file(good(vendor, "/c")))
    fetching.fetch_waiting()
    assert [request.path for request in vendor.requests] == ["/a", "/c", "/b"], "workspaces take turns"
    assert vendor.connections == 3


def failure_of_stopped(url: str) -> DownloadFailure:
    """Returns the failure of a download that is stopped once its connection is known."""
    failure = DownloadFailure("INTERRUPTED", "stop", is_transient=True)
    with watchdog.watching(seconds=20) as transfer:

        def stop() -> None:
            until(lambda: transfer._socket, "a connection is in use")
            transfer.stop(failure)

        stopping = threading.Thread(target=stop)
        stopping.start()
        with pytest.raises(DownloadFailed) as caught, download.opened(url, transfer):
            pass
        stopping.join()
    return caught.value.failure


def test_watchdog_stops_a_kept_connection_only_while_its_download_runs(vendor: Vendor) -> None:
    with dial.keeping_connections():
        with watchdog.watching(seconds=20) as first, download.opened(good(vendor), first) as answer:
            assert b"".join(answer.chunks) == BODY
        first.stop(DownloadFailure("LATE", "too late", is_transient=True))
        assert fetch(good(vendor)) == BODY
        assert vendor.connections == 1
        assert failure_of_stopped(vendor.on("/stall", lambda x: x.stall())).code == "INTERRUPTED"
        assert vendor.connections == 1


@pytest.mark.django_db
def test_redirect_to_a_forbidden_address_is_rejected_on_a_kept_connection(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dial.keeping_connections():
        fetch(good(vendor))
        away = vendor.on("/away", lambda x: x.answer(status="302 Found", Location="http://10.0.0.1/"))
        assert failure_of(away).code == "BLOCKED_ADDRESS"


@pytest.mark.usefixtures("empty_store")
def test_files_of_one_vendor_share_a_connection_and_count_one_attempt_each(api: ApiClient, vendor: Vendor) -> None:
    closing = vendor.on("/closing", Closing())
    batch_id = send(
        api, file(good(vendor, "/a")), file(closing), file(good(vendor, "/b")), file(closing, filename="again.mp3")
    )
    answer = run(api, batch_id)
    assert (answer["attachmentDownloadComplete"], answer["attachmentDownloadFailed"]) == (4, 0)
    assert list(DownloadAttempt.objects.values_list("token", "code")) == [(1, "OK")] * 4
    assert vendor.connections == 2
