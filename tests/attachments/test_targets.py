"""Requests to a vendor use the URL exactly as it was given, byte for byte, in redirects too."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attachments.download_failures import DownloadFailed
from attachments.fetch import download, targets
from attachments.fetch.watch import watchdog
from tests.attachments.vendor import Vendor

AS_GIVEN = [
    "/report%2D2024.pdf?e=1", "/caf%c3%a9.pdf", "/caf%C3%A9.pdf", "/a.pdf?name=[x]", "/%7euser/~user", "/a%2fb", "/a/../b",
    "/a/./b", "/..", "//a//b/", "/a?", "/a?b?c", "/a;p=1;q", "/a;?x=;", "/a?x=%20+%2B", "/'q'\"", "/(a)!$&*,=:@", "/a|b",
    "/{id}", "/^`", "/a\\b", "/?", "/%", "/%zz%4", "/a?sig=a/b+c==&X-Amz-Signature=%2f", "/?a&b&&", "/a%00b", "/<>",
]  # fmt: skip


def fetched_from(vendor: Vendor, url: str) -> list[str]:
    """Returns the request targets that a download of a URL sends."""
    with watchdog.watching(seconds=20) as transfer, download.opened(url, transfer) as answer:
        assert b"".join(answer.chunks) == b"file"
    return [request.path for request in vendor.requests]


@pytest.mark.parametrize("path", AS_GIVEN)
def test_url_is_requested_exactly_as_given(vendor: Vendor, path: str) -> None:
    assert fetched_from(vendor, vendor.on(path, lambda x: x.answer(b"file"))) == [path]


@pytest.mark.parametrize("path", AS_GIVEN)
@pytest.mark.parametrize("form", ["path", "url", "without scheme"])
def test_location_is_requested_exactly_as_given(vendor: Vendor, path: str, form: str) -> None:
    url = vendor.on(path, lambda x: x.answer(b"file"))
    location = {"path": path, "url": url, "without scheme": url.partition(":")[2]}[form]
    if form == "path" and path.startswith("//"):
        location = url
    away = vendor.on("/away", lambda x: x.answer(status="302 Found", Location=location))
    assert fetched_from(vendor, away) == ["/away", path]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("/café.pdf", "/caf%C3%A9.pdf"), ("/日本?名=値", "/%E6%97%A5%E6%9C%AC?%E5%90%8D=%E5%80%A4"), ("/a#part", "/a"),
        ("/a?b#c?d", "/a?b"), ("/a b", "/a%20b"), ("/😀%c3", "/%F0%9F%98%80%c3"), ("", "/"), ("?a=1", "/?a=1"), ("#x", "/"),
    ],
)  # fmt: skip
def test_characters_that_http_cannot_carry_are_percent_encoded_as_utf_8(vendor: Vendor, given: str, asked: str) -> None:
    vendor.on(asked, lambda x: x.answer(b"file"))
    assert fetched_from(vendor, vendor.url(given)) == [asked]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/caf\xe9.pdf", "/caf%E9.pdf"),  # Latin-1
        ("/café.pdf".encode(), "/caf%C3%A9.pdf"),
        ("/à".encode(), "/%C3%A0"),  # its last byte is a no-break space in Latin-1
        (b"/my file.pdf", "/my%20file.pdf"),
        (b"end", "/d/e/end"),
        (b"./end?x=../y", "/d/e/end?x=../y"),
        (b"../end", "/d/end"),
        (b"../../../end", "/end"),
        (b"..", "/d/"),
        (b".", "/d/e/"),
        (b"?x=1", "/d/e/away?x=1"),
        (b"a:b/c", None),
        (b"end;p?q#f", "/d/e/end;p?q"),
        (b"%2e%2e/end", "/d/e/%2e%2e/end"),
        (b" /end\t", "/end"),
    ],
)
def test_location_is_resolved_as_bytes(vendor: Vendor, location: bytes, asked: str | None) -> None:
    away = vendor.on(
        "/d/e/away?old",
        lambda x: x.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % location),
    )
    if asked is None:
        with pytest.raises(DownloadFailed, match="BAD_URL"):
            fetched_from(vendor, away)
        return
    vendor.on(asked, lambda x: x.answer(b"file"))
    assert fetched_from(vendor, away)[1:] == [asked]


def test_two_different_locations_are_a_bad_redirect(vendor: Vendor) -> None:
    raw = b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(DownloadFailed, match="BAD_REDIRECT"):
        fetched_from(vendor, vendor.on("/away", lambda x: x.send(raw)))


@pytest.mark.parametrize(
    ("url", "host", "authority"),
    [
        ("http://Files.Example/", "files.example", "Files.Example"),
        ("http://files.example./", "files.example", "files.example."),
        ("http://files.example:80/", "files.example", "files.example"),
        ("https://files.example:443", "files.example", "files.example"),
        ("https://files.example:80/", "files.example", "files.example:80"),
        ("http://files.example:/", "files.example", "files.example"),
        ("http://[2001:db8::1]/", "2001:db8::1", "[2001:db8::1]"),
        ("http://[2001:DB8::1]:8080/", "2001:db8::1", "[2001:DB8::1]:8080"),
        ("http://[fe80::1%25eth0]/", "fe80::1%eth0", "[fe80::1]"),
        ("HTTP://bücher.example/", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("http://straße.example/", "xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("http://under_score.example/", "under_score.example", "under_score.example"),
    ],
)
def test_host_is_sent_as_given_without_a_default_port(url: str, host: str, authority: str) -> None:
    found = targets.parse(url)
    assert (found.host, found.authority) == (host, authority)


@pytest.mark.parametrize(
    "authority",
    [
        "", ":80", "a@b", "a:b@c", "a\\@b", "a\\b", "a b", "a\tb", "a\r\nX: y", "::1", "[::1", "[::1]x", "a]b", "a:8o", "a:+80",
        "a:٨٠", "a:65536", "a:1:2", "a%00b", "a%2fb", "a\u0000b", ".", "<a>", "é..", "[::1]:x", "\ud800",
    ],
)  # fmt: skip
def test_ambiguous_authority_is_rejected(authority: str) -> None:
    with pytest.raises(DownloadFailed, match="BAD_URL"):
        targets.parse(f"http://{authority}/")


@given(st.text(max_size=60))
@example("A:")
def test_request_target_never_holds_a_space_or_control_character(text: str) -> None:
    location = text.encode("utf-8", "replace").decode("latin-1")
    for is_redirect in (False, True):
        try:
            url = targets.redirected("http://h/x", location) if is_redirect else f"http://h/{text}"
            path = targets.parse(url).path
        except DownloadFailed:
            continue
        assert path.startswith("/")
        assert all("!" <= character <= "~" for character in path)
