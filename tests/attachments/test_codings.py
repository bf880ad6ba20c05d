"""Content-Encoding: unknown tokens change nothing, and declared checksums decide which bytes are the file."""

import base64
import gzip
import hashlib
import zlib
from typing import Any

import pytest

from attachments.fetch import content
from tests.attachments.journey import file, open_uploads, run, send, stored
from tests.attachments.vendor import Behaviour, Exchange, Vendor
from tests.http_client import ApiClient

pytestmark = pytest.mark.usefixtures("empty_store")

BODY = b"tar" * 9_000
PACKED = gzip.compress(BODY, mtime=0)


def declared(body: bytes, *names: str) -> dict[str, Any]:
    given = {"size": len(body), "md5": hashlib.md5(body).hexdigest(), "sha1": hashlib.sha1(body).hexdigest()}
    return {name: given[name] for name in names}


def as_chunked(body: bytes, encoding: str) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.answer(
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            Content_Length="",
            Transfer_Encoding="chunked",
            Content_Encoding=encoding,
        )

    return behave


def fetched(api: ApiClient, url: str, **entry: object) -> bytes | str:
    """Returns the stored bytes, or the code of the failure."""
    batch_id = send(api, {"type": "file", "vendor_url": url, **entry})
    run(api, batch_id)
    (row,) = api.rows(batch_id, "attachments")
    assert open_uploads() == []
    return stored(row["storageUri"]) if row["state"] == "COMPLETE" else str(row["attempts"][-1]["code"])


@pytest.mark.parametrize(
    "encoding",
    [
        "base64",
        "UTF-8",
        "aws-chunked",
        "binary",
        "none",
        "identity, identity",
        ",",
        "7bit",
        "iso-8859-1",
        "identity;q=1",
    ],
)
def test_content_encoding_that_is_no_compression_is_ignored(api: ApiClient, vendor: Vendor, encoding: str) -> None:
    url = vendor.on("/a", lambda x: x.answer(BODY, Content_Encoding=encoding))
    assert fetched(api, url, **declared(BODY, "md5")) == BODY


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", PACKED),
        ("X-GZIP", PACKED),
        ("gzip, aws-chunked", PACKED),
        ("gzip", PACKED + b"\0" * 600),
        ("gzip", gzip.compress(BODY[:99], mtime=0) + b"\0" * 3 + gzip.compress(BODY[99:], mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0)),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY), mtime=0)),
    ],
)
@pytest.mark.parametrize("names", [[], ["size"], ["md5"]])
def test_compressed_answer_is_decoded(
    api: ApiClient, vendor: Vendor, encoding: str, body: bytes, names: list[str]
) -> None:
    url = vendor.on("/a", lambda x: x.answer(body, Content_Encoding=encoding))
    assert fetched(api, url, **declared(BODY, *names)) == BODY


@pytest.mark.parametrize("encoding", ["x-gzip", "br", "deflate"])
@pytest.mark.parametrize("names", [["size"], ["md5"], ["size", "md5", "sha1"]])
@pytest.mark.parametrize("form", ["length", "chunked"])
def test_encoded_bytes_are_stored_if_they_match_the_declared_size_or_checksum(
    api: ApiClient, vendor: Vendor, encoding: str, names: list[str], form: str
) -> None:
    behave = as_chunked(PACKED, encoding) if form == "chunked" else None
    url = vendor.on("/a", behave or (lambda x: x.answer(PACKED, Content_Encoding=encoding)))
    assert fetched(api, url, filename="a.tar.gz", **declared(PACKED, *names)) == PACKED
    assert len(vendor.requests) <= 2


def test_file_name_decides_between_packed_and_unpacked_so_that_one_request_is_enough(
    api: ApiClient, vendor: Vendor
) -> None:
    for name, wanted in (("a.tar.gz", PACKED), ("a.tar", BODY)):
        url = vendor.on(f"/{name}", as_chunked(PACKED, "gzip"))
        assert fetched(api, url, filename=name, **declared(wanted, "md5")) == wanted
    assert len(vendor.requests) == 2


def test_declared_checksum_outweighs_the_file_name(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/a", as_chunked(PACKED, "gzip"))
    assert fetched(api, url, filename="a.tar.gz", **declared(BODY, "sha1")) == BODY


def test_declared_file_is_stored_despite_a_wrong_content_encoding(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/a", lambda x: x.answer(BODY, Content_Encoding="gzip"))
    assert fetched(api, url, **declared(BODY, "md5")) == BODY


def test_file_name_or_mime_type_decides_whether_an_undeclared_file_is_decoded(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/a", lambda x: x.answer(PACKED, Content_Encoding="x-gzip"))
    assert fetched(api, url, filename="a.tar.gz") == PACKED
    assert fetched(api, url, filename="a.tgz", mime_type="application/x-tar") == PACKED
    assert fetched(api, url, filename="a.tar") == BODY
    assert fetched(api, url) == BODY


def test_content_that_matches_no_declaration_fails_after_one_request(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/a", lambda x: x.answer(PACKED, Content_Encoding="gzip"))
    assert fetched(api, url, md5="0" * 32) == "MD5_MISMATCH"
    assert fetched(api, url, size=1) == "SIZE_MISMATCH"
    assert len(vendor.requests) == 2


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip, gzip", "gzip, br"])
def test_unknown_compression_fails_as_unsupported_encoding(api: ApiClient, vendor: Vendor, encoding: str) -> None:
    url = vendor.on("/a", lambda x: x.answer(PACKED, Content_Encoding=encoding))
    assert fetched(api, url) == "UNSUPPORTED_ENCODING"


def test_html_page_is_stored_if_it_matches_the_declared_size_or_checksum(api: ApiClient, vendor: Vendor) -> None:
    page = b"<html xmlns:x='urn:x'><table></table></html>"
    url = vendor.on("/a", lambda x: x.answer(page, Content_Type="text/html"))
    for names in (["size"], ["md5"], ["sha1"], ["size", "md5"]):
        assert (
            fetched(api, url, filename="a.xls", mime_type="application/vnd.ms-excel", **declared(page, *names)) == page
        )
    assert fetched(api, url, filename="a.xls") == "UNEXPECTED_CONTENT"
    assert fetched(api, url, filename="a.xls", md5="0" * 32) == "UNEXPECTED_CONTENT"


def test_declared_checksums_may_be_base64(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/a", lambda x: x.answer(BODY))
    md5 = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    sha1 = base64.b64encode(hashlib.sha1(BODY).digest()).decode()
    batch_id = send(api, file(url, md5=md5, sha1=sha1))
    assert run(api, batch_id)["attachmentDownloadComplete"] == 1
    (entry,) = api.rows(batch_id, "attachments")
    assert (entry["md5"], entry["sha1"]) == (hashlib.md5(BODY).hexdigest(), hashlib.sha1(BODY).hexdigest())


def test_deflate_is_decoded_in_bounded_steps() -> None:
    sizes = [len(step) for step in content.decoded([zlib.compress(bytes(50_000_000))], ("deflate",))]
    assert (sum(sizes), max(sizes)) == (50_000_000, content.STEP_BYTES)
