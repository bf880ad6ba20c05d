"""Downloads from a hostile server: each fault has its own code, and no server can hold a download for ever."""

import gzip
import hashlib
import socket
import time
from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from attachments.download_failures import DownloadFailed, DownloadFailure
from attachments.fetch import content, download, watch
from attachments.fetch.download import HEADERS
from attachments.fetch.http_connection import CHUNK_BYTES
from attachments.fetch.watch import Transfer, watchdog
from tests.attachments.vendor import Exchange, Vendor
from tests.counted_zlib import CountedZlib

# Looking up an address that is not public queries the table of allowed endpoints.
pytestmark = pytest.mark.django_db

BODY = bytes(range(256)) * 40


def fetch(url: str, *, seconds: float = 20.0) -> bytes:
    """Returns the body, or raises the failure."""
    with watchdog.watching(seconds=seconds) as transfer, download.opened(url, transfer) as answer:
        return b"".join(content.decoded(answer.chunks, answer.codings))


def failure_of(url: str, *, seconds: float = 20.0) -> DownloadFailure:
    """Returns the reason why a download fails."""
    with pytest.raises(DownloadFailed) as caught:
        fetch(url, seconds=seconds)
    return caught.value.failure


def redirect_to(location: str, status: str = "302 Found") -> Callable[[Exchange], None]:
    return lambda exchange: exchange.answer(status=status, Location=location)


def drip_the_body(exchange: Exchange) -> None:
    exchange.answer(b"", Content_Length="100000")
    exchange.drip(b"a" * 10_000, every=0.05)


def stall_in_the_body(exchange: Exchange) -> None:
    exchange.answer(b"a", Content_Length="100")
    exchange.stall()


def test_download_returns_the_whole_body_and_requests_the_identity_encoding(vendor: Vendor) -> None:
    assert fetch(vendor.on("/a", lambda x: x.answer(BODY))) == BODY
    headers = vendor.requests[0].headers
    assert headers["accept-encoding"] == "identity"
    assert set(headers) == {"host"} | {name.lower() for name in HEADERS}


def test_body_that_is_chunked_or_ends_with_its_connection_is_returned_whole(vendor: Vendor) -> None:
    chunked = vendor.on(
        "/c", lambda x: x.answer(b"3\r\nabc\r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked")
    )
    assert fetch(chunked) == b"abc"
    assert fetch(vendor.on("/e", lambda x: x.answer(BODY, Content_Length=""))) == BODY


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("203 Non-Authoritative Information", {}),
        ("206 Partial Content", {"Content_Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}),
        ("226 IM Used", {}),
        ("226 IM Used", {"IM": "identity"}),
    ],
)
def test_answer_that_certainly_holds_the_whole_file_is_taken(
    vendor: Vendor, status: str, headers: dict[str, str]
) -> None:
    assert fetch(vendor.on("/a", lambda x: x.answer(BODY, status=status, **headers))) == BODY


@pytest.mark.parametrize(
    ("behave", "code", "is_transient"),
    [
        (lambda x: x.answer(BODY, Content_Length=str(len(BODY) + 1)), "TRUNCATED", True),
        (lambda x: x.answer(b"5\r\nab", Content_Length="", Transfer_Encoding="chunked"), "TRUNCATED", True),
        (lambda x: x.answer(b"3\r\nabc\r\n", Content_Length="", Transfer_Encoding="chunked"), "TRUNCATED", True),
        (lambda x: x.answer(BODY, Content_Length="-5"), "BAD_RESPONSE", True),
        (lambda x: x.answer(BODY, Content_Length="5, 6"), "BAD_RESPONSE", True),
        (lambda x: x.answer(BODY, status="206 Partial Content", Content_Range="bytes 0-9/10"), "UNEXPECTED_STATUS", True),
        (lambda x: x.answer(BODY, status="206 Partial Content"), "UNEXPECTED_STATUS", True),
        (lambda x: x.answer(BODY, status="206 Partial Content", Content_Range=f"bytes 0-{len(BODY) - 1}/*"), "UNEXPECTED_STATUS", True),
        (lambda x: x.answer(BODY, status="206 Partial Content", Content_Range=f"bytes 1-{len(BODY)}/{len(BODY) + 1}"), "UNEXPECTED_STATUS", True),
        (lambda x: x.answer(BODY, status="226 IM Used", IM="vcdiff"), "UNEXPECTED_STATUS", True),
        (lambda x: x.answer(b"", status="204 No Content"), "UNEXPECTED_STATUS", True),
        (lambda x: x.send(b"garbage\r\n\r\n"), "BAD_RESPONSE", True),
        (lambda x: x.reset(), "CONNECTION_LOST", True),
        (lambda x: None, "CONNECTION_LOST", True),
        (lambda x: x.answer(b"x", status="404 Not Found"), "HTTP_404", False),
        (lambda x: x.answer(b"x", status="410 Gone"), "HTTP_410", False),
        (lambda x: x.answer(b"x", status="403 Forbidden"), "HTTP_403", False),
        (lambda x: x.answer(b"x", status="401 Unauthorized"), "HTTP_401", False),
        (lambda x: x.answer(b"x", status="408 Request Timeout"), "HTTP_408", True),
        (lambda x: x.answer(b"x", status="425 Too Early"), "HTTP_425", True),
        (lambda x: x.answer(b"x", status="429 Too Many Requests"), "HTTP_429", True),
        (lambda x: x.answer(b"x", status="500 Oops"), "HTTP_500", True),
        (lambda x: x.answer(b"x", status="503 Later"), "HTTP_503", True),
        (lambda x: x.answer(BODY, Content_Encoding="br"), "UNSUPPORTED_ENCODING", False),
        (lambda x: x.answer(b"no gzip", Content_Encoding="gzip"), "UNSUPPORTED_ENCODING", False),
        (lambda x: x.answer(gzip.compress(BODY)[:-4], Content_Encoding="gzip"), "TRUNCATED", True),
        (lambda x: x.answer(status="302 Found"), "BAD_REDIRECT", False),
        (redirect_to("ftp://127.0.0.1/x"), "BAD_URL", False),
        (redirect_to("http://user:pw@127.0.0.1/x"), "BAD_URL", False),
        (redirect_to("http://169.254.169.254/latest/meta-data"), "BLOCKED_ADDRESS", False),
        (redirect_to("http://[::ffff:169.254.169.254]/"), "BLOCKED_ADDRESS", False),
        (redirect_to("http://0x0a000001/"), "BLOCKED_ADDRESS", False),
        (redirect_to("http://012.0.0.1/"), "BLOCKED_ADDRESS", False),
        (redirect_to("http://167772161/"), "BLOCKED_ADDRESS", False),
        (redirect_to("http://10.1/"), "BLOCKED_ADDRESS", False),
        (redirect_to("/a"), "TOO_MANY_REDIRECTS", False),
    ],
)  # fmt: skip
def test_each_bad_answer_has_its_failure_code(
    vendor: Vendor, behave: Callable[[Exchange], None], code: str, is_transient: bool
) -> None:
    failure = failure_of(vendor.on("/a", behave))
    assert (failure.code, failure.is_transient) == (code, is_transient)


def test_failure_names_the_http_status(vendor: Vendor) -> None:
    failure = failure_of(vendor.on("/a", lambda x: x.answer(status="503 Later")))
    assert (failure.http_status, "HTTP 503" in failure.message) == (503, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("999999999999999", 86400.0), ("nonsense", None), ("-5", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("", None)],
)  # fmt: skip
def test_retry_after_is_parsed_and_limited_to_a_day(vendor: Vendor, text: str, seconds: float | None) -> None:
    failure = failure_of(vendor.on("/a", lambda x: x.answer(status="429 Slow", Retry_After=text)))
    assert failure.retry_after == seconds


def test_redirects_are_followed_without_cookies_or_credentials(vendor: Vendor) -> None:
    vendor.on("/end", lambda x: x.answer(BODY))
    vendor.on("/mid", redirect_to("end"))
    assert fetch(vendor.on("/a", lambda x: x.answer(status="307 Go", Location="/mid", Set_Cookie="a=b"))) == BODY
    assert all(not {"cookie", "authorization", "referer"} & set(request.headers) for request in vendor.requests)


def test_redirect_from_https_to_http_is_rejected(secure_vendor: Vendor) -> None:
    failure = failure_of(secure_vendor.on("/a", redirect_to(secure_vendor.url("/b").replace("https", "http"))))
    assert (failure.code, len(secure_vendor.requests)) == ("BAD_REDIRECT", 1)


def test_gzip_of_many_members_is_decoded_without_repeated_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "zlib", counted := CountedZlib())
    members = CHUNK_BYTES // 20
    chunk = gzip.compress(b"") * members
    assert b"".join(content.decoded([chunk, gzip.compress(b"a")], ("gzip",))) == b"a"
    assert 0 < counted.given < members * 20_000


def test_unrequested_gzip_is_decoded_in_bounded_steps(vendor: Vendor) -> None:
    plain = bytes(50 * 1024 * 1024)
    url = vendor.on("/a", lambda x: x.answer(gzip.compress(plain), Content_Encoding="gzip"))
    largest, size = 0, 0
    with watchdog.watching(seconds=20) as transfer, download.opened(url, transfer) as answer:
        for chunk in content.decoded(answer.chunks, answer.codings):
            largest, size = max(largest, len(chunk)), size + len(chunk)
    assert (size, largest <= CHUNK_BYTES) == (len(plain), True)


@pytest.mark.parametrize(
    "behave",
    [
        lambda x: x.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000, every=0.05),
        drip_the_body,
        lambda x: x.stall(),
        stall_in_the_body,
    ],
    ids=["drips headers", "drips the body", "stalls before the headers", "stalls in the body"],
)
def test_deadline_ends_a_download_that_drips_or_stalls(vendor: Vendor, behave: Callable[[Exchange], None]) -> None:
    failure = failure_of(vendor.on("/a", behave), seconds=1.0)
    assert (failure.code, failure.is_transient) == ("DEADLINE", True)


def test_download_below_the_minimum_rate_is_ended(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0.6)
    monkeypatch.setattr(watch, "WINDOW_SECONDS", 0.6)
    failure = failure_of(vendor.on("/a", drip_the_body))
    assert (failure.code, failure.is_transient) == ("TOO_SLOW", True)


def test_endless_headers_end_the_download(vendor: Vendor) -> None:
    def behave(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(5000)))

    assert failure_of(vendor.on("/a", behave)).is_transient


def test_download_ignores_proxies_of_the_environment(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert fetch(vendor.on("/a", lambda x: x.answer(BODY))) == BODY


def test_private_address_is_never_connected_to(vendor: Vendor, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS = ()
    assert failure_of(vendor.url("/a")).code == "BLOCKED_ADDRESS"
    assert failure_of(vendor.url("/a").replace("127.0.0.1", "localhost")).code == "BLOCKED_ADDRESS"
    assert vendor.requests == []


def test_host_name_is_resolved_once_so_that_rebinding_reaches_no_private_address(
    vendor: Vendor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked."""
    settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS = ()
    answers = iter(["93.184.215.14", "127.0.0.1"])
    asked: list[str] = []
    dialled: list[tuple[str, int]] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        dialled.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    assert failure_of("http://rebind.example/").code == "CONNECT_FAILED"
    assert (asked, dialled) == (["rebind.example"], [("93.184.215.14", 80)])
    assert failure_of("http://rebind.example/").code == "BLOCKED_ADDRESS"
    assert len(dialled) == 1


def test_host_name_with_one_forbidden_address_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: found)
    assert failure_of("http://two.example/").code == "BLOCKED_ADDRESS"


def test_unresolvable_host_name_is_a_transient_failure() -> None:
    failure = failure_of("http://nothing.invalid/")
    assert (failure.code, failure.is_transient) == ("DNS_FAILED", True)


def test_stopped_transfer_fails_with_the_given_reason(vendor: Vendor) -> None:
    reason = DownloadFailure("INTERRUPTED", "stop", is_transient=True)
    url = vendor.on("/a", stall_in_the_body)
    transfer = Transfer(time.monotonic() + 20)
    with pytest.raises(DownloadFailed) as caught, download.opened(url, transfer) as answer:
        for _ in answer.chunks:
            transfer.stop(reason)
    assert caught.value.failure is reason


def test_large_body_is_returned_unchanged(vendor: Vendor) -> None:
    body = bytes(range(256)) * 20_000
    assert hashlib.sha256(fetch(vendor.on("/big", lambda x: x.answer(body)))).digest() == hashlib.sha256(body).digest()
