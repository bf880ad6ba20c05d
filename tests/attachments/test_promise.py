"""A web page or a JSON error in place of the promised file is recognized, in linear time."""

from typing import Any

import pytest

from attachments.download_failures import DownloadFailed
from attachments.fetch import content, promise

PAGE = b"<!doctype html><p>Sign in</p>"
ERROR = b'{"error":"Forbidden!"}'
PDF = b"%PDF-1.7 <html>"
MP3 = b"ID3\x04\0\0 <html>"


def outcome(opening: bytes, answered: str = "", *, type: str = "file", mime: str = "", filename: str = "") -> str:
    wanted = promise.promised(type=type, declared_mimes=[mime, ""], filenames=[filename, ""])
    try:
        promise.refuse_other(wanted, answered_mime=answered, opening=opening)
    except DownloadFailed as failed:
        assert not failed.failure.is_transient
        return failed.failure.code
    return "OK"


@pytest.mark.parametrize(
    ("opening", "answered", "promised"),
    [
        (PAGE, "text/html", {"filename": "contract.pdf"}),
        (PAGE, "", {"filename": "contract.PDF"}),
        (PAGE, "application/pdf", {"filename": "contract.pdf"}),
        (b"Please sign in", "text/html; charset=utf-8", {"filename": "contract.pdf"}),
        (b"", "text/html", {"type": "audio"}),
        (PAGE, "", {"type": "audio"}),
        (PAGE, "", {"type": "image", "mime": "text/plain"}),
        (PAGE, "", {"mime": "video/mp4"}),
        (PAGE, "text/html", {"mime": "text/csv"}),
        (PAGE, "", {"filename": "sheet.xlsx"}),
        (PAGE, "text/html", {"filename": "a.tar.gz"}),
        (PAGE, "", {"mime": "application/json"}),
        (PAGE, "", {"filename": "logo.svg"}),
        (PAGE, "", {"type": "text", "filename": "notes.docx"}),
        (b"\xef\xbb\xbf" + PAGE, "", {"type": "video"}),
        (b"\xff\xfe" + PAGE.decode().encode("utf-16-le"), "", {"type": "video"}),
        (b"\xfe\xff" + PAGE.decode().encode("utf-16-be"), "text/html", {"filename": "a.zip"}),
        (b"<!-- a -->\n<!--b-->\r\n<HTML lang=en>", "", {"filename": "contract.pdf"}),
        (b'<?xml version="1.0"?>\n<!DOCTYPE\n  html PUBLIC "x">', "", {"filename": "contract.pdf"}),
        (b" \n\t<head>", "", {"filename": "contract.pdf"}),
        (ERROR, "application/json", {"type": "audio", "filename": "a.m4a", "mime": "audio/mp4"}),
        (ERROR, "", {"type": "audio"}),
        (b' \n{ "message" : 1}', "text/plain", {"filename": "a.pdf"}),
        (b'["no"]', "application/problem+json", {"filename": "a.pdf"}),
        (ERROR, "application/json", {"mime": "text/csv"}),
    ],
)
def test_web_page_or_json_error_in_place_of_a_file_is_rejected(
    opening: bytes, answered: str, promised: dict[str, str]
) -> None:
    assert outcome(opening, answered, **promised) == "UNEXPECTED_CONTENT"


@pytest.mark.parametrize(
    ("opening", "answered", "promised"),
    [
        (PAGE, "text/html", {}),
        (PAGE, "text/html", {"type": "text"}),
        (PAGE, "text/html", {"type": "unknown", "filename": "page"}),
        (PAGE, "text/html", {"filename": "page.html"}),
        (PAGE, "text/html", {"filename": "page.txt"}),
        (PAGE, "text/html", {"type": "image", "mime": "text/html"}),
        (PAGE, "", {"mime": "application/xhtml+xml"}),
        (PAGE, "", {"mime": "application/octet-stream"}),
        (PDF, "text/html", {"filename": "contract.pdf"}),
        (MP3, "text/html", {"type": "audio"}),
        (MP3, "application/json", {"type": "audio"}),
        (b"<header>", "", {"mime": "application/xml"}),
        (b"<svg>", "text/html", {"filename": "logo.svg"}),
        (b"<html xmlns:x='urn:schemas-microsoft-com:office:excel'>", "", {"filename": "sheet.xls"}),
        (b"a;b\n<html>", "text/plain", {"filename": "a.csv"}),
        (b"{\\rtf1", "", {"filename": "letter.rtf"}),
        (ERROR, "application/json", {}),
        (ERROR, "application/json", {"filename": "a.json"}),
        (ERROR, "application/json", {"filename": "a.txt"}),
        (ERROR, "", {"mime": "application/geo+json"}),
        (ERROR, "", {"mime": "application/yaml"}),
        (ERROR, "text/html", {"filename": "a.json"}),
        (b"a;b\n1;2", "text/html", {"filename": "a.csv"}),
        (b"a;b\n1;2", "application/json", {"filename": "a.csv"}),
        (b"From: a@b.example\n\n<html>", "text/html", {"filename": "a.eml"}),
        (b"{\\rtf1", "text/html", {"filename": "letter.rtf"}),
        (b"", "", {"type": "audio"}),
        (b"<!-- no end", "", {"filename": "contract.pdf"}),
    ],
)
def test_content_that_may_be_the_promised_file_is_accepted(
    opening: bytes, answered: str, promised: dict[str, str]
) -> None:
    assert outcome(opening, answered, **promised) == "OK"


class Counted(bytes):
    """Counts single-byte reads and searches."""

    looked = 0

    def __getitem__(self, at: Any) -> Any:
        Counted.looked += 1
        return super().__getitem__(at)

    def find(self, *args: Any) -> int:
        Counted.looked += 1
        return super().find(*args)


@pytest.mark.parametrize("piece", [b"<!---->", b"<!-- -->", b"<??>", b" ", b"<!---->\n ", b"<!--", b"<"])
def test_search_for_html_takes_steps_in_proportion_to_the_bytes(piece: bytes) -> None:
    Counted.looked = 0
    content = Counted(piece * 2000)
    assert not promise.opens_as_html(content)
    assert 0 < Counted.looked <= 2 * len(content)


@pytest.mark.parametrize(
    ("filename", "mime"),
    [
        ("a.tar.gz", "application/gzip"),
        ("a.csv.gz", "application/gzip"),
        ("a.tar.bz2", "application/x-bzip2"),
        ("a.json.xz", "application/x-xz"),
        ("a.csv", "text/csv"),
        ("a", "application/octet-stream"),
    ],
)
def test_type_of_a_compressed_file_is_that_of_its_stored_bytes(filename: str, mime: str) -> None:
    assert content.stored_mime(declared="", answered="application/octet-stream", filename=filename) == mime


@pytest.mark.parametrize("filename", ["a.csv.gz", "a.csv.xz", "a.txt.bz2"])
def test_page_is_not_taken_for_a_compressed_text(filename: str) -> None:
    assert outcome(PAGE, "text/html", filename=filename) == "UNEXPECTED_CONTENT"
