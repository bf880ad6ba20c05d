"""Connections that serve several downloads of a thread: as good as new ones, and gone with the loop that used them."""

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
    """The body, or of a longer one what comes first."""
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
    """Takes a request on a kept connection and closes it without a word; on a new one it answers."""

    def __init__(self, *, by_reset: bool = False) -> None:
        self.by_reset = by_reset
        self.seen: list[socket.socket] = []

    def __call__(self, exchange: Exchange) -> None:
        if exchange.socket not in self.seen:
            self.seen.append(exchange.socket)
            exchange.keep(BODY)
        elif self.by_reset:
            exchange.reset()


def test_one_connection_serves_a_thread_and_ends_with_the_loop(vendor: Vendor) -> None:
    with dial.keeping_connections():
        assert [fetch(good(vendor, path)) for path in ("/a", "/b", "/c")] == [BODY] * 3
        assert (vendor.connections, vendor.open_connections) == (1, 1)
    until(lambda: vendor.open_connections == 0, "the connection ends with the loop")
    fetch(good(vendor))
    until(lambda: vendor.open_connections == 0, "a download alone keeps none")
    assert vendor.connections == 2


def test_a_kept_connection_returns_what_a_new_one_returns(vendor: Vendor) -> None:
    """Keeping connections saves handshakes; the plain way is a new one for each file."""
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

    # A good file before and after each, so that the next one comes on a connection that has served.
    order = [one for url in urls for one in (urls[0], url)]
    plain = [outcome(url) for url in order]
    with dial.keeping_connections():
        kept = [outcome(url) for url in order]
    assert kept == plain
    assert plain[:4] == [BODY, BODY, BODY, b"hello"]
    assert sum(isinstance(one, DownloadFailure) for one in plain) == 4


def test_over_tls_too(secure_vendor: Vendor) -> None:
    with dial.keeping_connections():
        assert [fetch(good(secure_vendor)) for _ in range(3)] == [BODY] * 3
        assert secure_vendor.connections == 1
        # The watchdog reaches what lies below TLS.
        assert failure_of_stopped(secure_vendor.on("/stall", lambda x: x.stall())).code == "INTERRUPTED"


def test_a_certificate_that_nobody_vouches_for_stays_refused(vendor: Vendor) -> None:
    vendor.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(vendor.tls)
    with dial.keeping_connections():
        assert failure_of(good(vendor)).code == "TLS_FAILED"


@pytest.mark.parametrize("by_reset", [False, True])
def test_a_kept_connection_that_is_closed_at_that_moment_costs_nothing(vendor: Vendor, by_reset: bool) -> None:
    url = vendor.on("/a", Closing(by_reset=by_reset))
    with dial.keeping_connections():
        assert [fetch(url), fetch(url)] == [BODY, BODY]
    assert (len(vendor.requests), vendor.connections) == (3, 2)


def test_a_new_connection_that_is_closed_is_a_failure_at_once(vendor: Vendor) -> None:
    with dial.keeping_connections():
        assert failure_of(vendor.on("/a", lambda x: x.reset())).code == "CONNECTION_LOST"
    assert len(vendor.requests) == 1


def test_one_that_was_closed_meanwhile_is_not_used(vendor: Vendor) -> None:
    def last(exchange: Exchange) -> None:
        exchange.keep(BODY)
        exchange.is_kept = False  # closed without having said so

    with dial.keeping_connections():
        fetch(vendor.on("/last", last))
        until(lambda: vendor.open_connections == 0, "the vendor has closed")
        assert fetch(good(vendor)) == BODY
    assert len(vendor.requests) == 2


def test_one_that_idled_for_long_is_not_used(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    with dial.keeping_connections():
        fetch(good(vendor))
        monkeypatch.setattr(dial, "KEPT_SECONDS", -1.0)
        fetch(good(vendor))
    assert vendor.connections == 2


def test_a_body_that_was_not_read_to_its_end_ends_its_connection(vendor: Vendor) -> None:
    long = vendor.on("/long", lambda x: x.keep(bytes(50_000_000)))
    with dial.keeping_connections():
        assert fetch(long, size=10) == bytes(10)
        assert fetch(good(vendor)) == BODY
    assert vendor.connections == 2


def test_what_failed_leaves_no_connection_behind(vendor: Vendor) -> None:
    def refused(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        exchange.is_kept = True

    with dial.keeping_connections():
        fetch(good(vendor))
        assert failure_of(vendor.on("/missing", refused)).code == "HTTP_404"
        until(lambda: vendor.open_connections == 0, "the connection is closed")
        assert fetch(good(vendor)) == BODY


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def test_what_came_unasked_is_never_the_next_answer(vendor: Vendor) -> None:
    def poisoned(exchange: Exchange) -> None:
        exchange.keep(BODY)
        exchange.send(EVIL)
        until(lambda: unacknowledged(exchange.socket) == 0, "all of it is at the client")

    with dial.keeping_connections():
        assert fetch(vendor.on("/poisoned", poisoned)) == BODY
        until(lambda: vendor.busy == 0, "the vendor has sent it")
        assert fetch(good(vendor)) == BODY
    assert vendor.connections == 2


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that the other side's kernel has not taken."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_nor_what_tls_has_unpacked_and_nobody_read(secure_vendor: Vendor) -> None:
    def poisoned(exchange: Exchange) -> None:
        # One TLS record: a reader's buffer takes all before the second answer, the rest waits within TLS.
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood".ljust(io.DEFAULT_BUFFER_SIZE) + EVIL)
        exchange.is_kept = True

    with dial.keeping_connections():
        assert fetch(secure_vendor.on("/poisoned", poisoned)) == b"good"
        assert fetch(good(secure_vendor)) == BODY
    assert secure_vendor.connections == 2


@pytest.mark.usefixtures("empty_store")
def test_no_connection_serves_two_workspaces(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor
) -> None:
    foreign = new_client(of=other_workspace)
    send(api, file(good(vendor, "/a")), file(good(vendor, "/b")))
    send(foreign, file(good(vendor, "/c")))
    fetching.fetch_waiting()
    assert [request.path for request in vendor.requests] == ["/a", "/c", "/b"], "workspaces take turns"
    assert vendor.connections == 3


def failure_of_stopped(url: str) -> DownloadFailure:
    """Of a download that is stopped once its connection is known."""
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


def test_the_watchdog_reaches_a_kept_connection_and_only_while_it_is_used(vendor: Vendor) -> None:
    with dial.keeping_connections():
        with watchdog.watching(seconds=20) as first, download.opened(good(vendor), first) as answer:
            assert b"".join(answer.chunks) == BODY
        first.stop(DownloadFailure("LATE", "too late", is_transient=True))
        assert fetch(good(vendor)) == BODY
        assert vendor.connections == 1
        assert failure_of_stopped(vendor.on("/stall", lambda x: x.stall())).code == "INTERRUPTED"
        assert vendor.connections == 1


@pytest.mark.django_db
def test_a_redirect_to_another_host_is_checked_as_ever(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    with dial.keeping_connections():
        fetch(good(vendor))
        away = vendor.on("/away", lambda x: x.answer(status="302 Found", Location="http://10.0.0.1/"))
        assert failure_of(away).code == "BLOCKED_ADDRESS"


@pytest.mark.usefixtures("empty_store")
def test_files_of_one_vendor_share_a_connection_and_each_has_one_attempt(api: ApiClient, vendor: Vendor) -> None:
    closing = vendor.on("/closing", Closing())
    batch_id = send(
        api, file(good(vendor, "/a")), file(closing), file(good(vendor, "/b")), file(closing, filename="again.mp3")
    )
    answer = run(api, batch_id)
    assert (answer["attachmentDownloadComplete"], answer["attachmentDownloadFailed"]) == (4, 0)
    assert list(DownloadAttempt.objects.values_list("token", "code")) == [(1, "OK")] * 4
    assert vendor.connections == 2
