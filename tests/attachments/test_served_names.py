"""A stored file is served under its own name, in any script, and never as a type that a browser would run."""

import io
import re
from urllib.parse import quote, unquote

import pytest
import requests
from django.conf import settings

from attachments.fetch import file_urls
from attachments.fetch.served_names import disposition, served_type
from deploy.local.embedded import Servers
from lake import object_store


def saved_as(header: str) -> tuple[str, str]:
    """Returns the name for clients that support ``filename*``, and the name for all others."""
    found = re.fullmatch(r"""attachment; filename="([^"]*)"(?:; filename\*=UTF-8''([A-Za-z0-9._~%-]*))?""", header)
    assert found, header
    return unquote(found[2]) if found[2] else found[1], found[1]


@pytest.mark.parametrize(
    "name", ["日本語レポート.pdf", "Vertrag – Müller.docx", "отчёт.txt", "تقرير.pdf", "क्ष\u200d.mp3", "👩‍🔬.png"]
)
def test_file_name_in_any_script_is_kept(name: str) -> None:
    header = disposition(name)
    own, plain = saved_as(header)
    assert own == name
    assert f"filename*=UTF-8''{quote(name, safe='')}" in header
    assert header.isascii()
    assert plain.rpartition(".")[2] == name.rpartition(".")[2]


def test_ascii_file_name_is_sent_in_the_plain_form_only() -> None:
    assert disposition("call (2).mp3") == 'attachment; filename="call (2).mp3"'


def test_file_name_with_special_ascii_characters_is_kept_in_the_extended_form() -> None:
    header = disposition("100%; #1 'final'.pdf")
    assert saved_as(header) == ("100%; #1 'final'.pdf", "100__ _1 _final_.pdf")


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a" * 300 + ".pdf", ".pdf"),
        ("日" * 300 + ".pdf", ".pdf"),
        ("x" * 400 + ".tar.gz", ".tar.gz"),
        ("é" * 400, ""),
        ("n" * 200 + "." + "e" * 300, ""),
    ],
)
def test_long_file_name_is_shortened_before_its_extension(name: str, extension: str) -> None:
    own, plain = saved_as(disposition(name))
    assert 245 <= len(own.encode()) <= 255
    assert own.endswith(extension)
    assert name.startswith(own.removesuffix(extension))
    assert plain.endswith(extension)


def test_file_name_of_255_bytes_is_kept_whole() -> None:
    name = "a" * 251 + ".pdf"
    assert saved_as(disposition(name))[0] == name


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ('a"; filename="b.exe', "a_; filename=_b.exe"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..\\evil.pdf", ".._evil.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "a__Set-Cookie: x=1.pdf"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("a\u2066b\u2069\ufeff\u200e.pdf", "a_b___.pdf"),
        ("line\u2028end\x7f\x00.txt", "line_end__.txt"),
        ("lone\udc80.txt", "lone_.txt"),
    ],
)
def test_deceptive_characters_of_a_file_name_are_replaced(name: str, harmless: str) -> None:
    header = disposition(name)
    assert saved_as(header)[0] == harmless
    assert not set(header) & set("\r\n\x00")


@pytest.mark.parametrize("name", ["", " ", "..", "."])
def test_empty_or_dot_file_name_is_left_to_the_browser(name: str) -> None:
    assert disposition(name) == "attachment"


@pytest.mark.parametrize(
    "active",
    [
        "text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml",
        "application/rss+xml", "text/javascript", "application/ecmascript", "text/xsl", "multipart/x-mixed-replace",
        "message/rfc822", "application/x-shockwave-flash", "unknown/unknown", "application/unknown", "", "*/*", "pdf",
        "image/png\r\nX-Evil: 1", "text/plain; x=<script>",
    ],
)  # fmt: skip
def test_type_that_a_browser_would_run_or_guess_is_served_as_octet_stream(active: str) -> None:
    assert served_type(active) == "application/octet-stream"


@pytest.mark.parametrize(
    "harmless",
    [
        "application/pdf", "audio/mpeg", "text/csv; charset=utf-8", "image/png", "application/json",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ],
)  # fmt: skip
def test_harmless_media_type_is_served_unchanged(harmless: str) -> None:
    assert served_type(harmless) == harmless


def test_store_serves_a_file_with_its_name_and_a_harmless_type(servers: Servers) -> None:
    object_store.ensure_bucket()
    body, key, name = b"<script>alert(1)</script>", "attachments/test/served", "報告 “final” 100%.html"
    object_store.client().put_object(settings.MINIO_BUCKET, key, io.BytesIO(body), len(body), "text/html")
    answer = requests.get(
        file_urls.download_url(object_store.uri(key), filename=name, mime_type="text/html"), timeout=10
    )
    assert answer.content == body
    assert saved_as(answer.headers["Content-Disposition"])[0] == name
    assert answer.headers["Content-Type"] == "application/octet-stream"
