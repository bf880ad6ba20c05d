"""A declared size and declared checksums, in any spelling that clients use."""

import base64
import hashlib

import pytest

from attachments.fetch.expected import Expected, as_hex

BODY = b"hello"
MD5, SHA1 = hashlib.md5(BODY).digest(), hashlib.sha1(BODY).digest()


def spellings(digest: bytes) -> list[str]:
    plain = base64.b64encode(digest).decode()
    return [
        digest.hex(), digest.hex().upper(), f" {digest.hex()}\n", plain, plain.rstrip("="), f" {plain} ",
        base64.urlsafe_b64encode(digest).decode(),
    ]  # fmt: skip


@pytest.mark.parametrize("declared", spellings(MD5))
def test_md5_in_any_spelling(declared: str) -> None:
    assert as_hex(declared, 16) == MD5.hex()


@pytest.mark.parametrize("declared", [*spellings(SHA1), *spellings(bytes([255, 254, 253] * 7)[:20])])
def test_sha1_in_any_spelling(declared: str) -> None:
    assert as_hex(declared, 20) in {SHA1.hex(), bytes([255, 254, 253] * 7)[:20].hex()}


@pytest.mark.parametrize(
    "declared", ["x", "é" * 24, "XUFAKrxLKna5cZ2REBfFkg==extra", MD5.hex()[:-1], SHA1.hex(), "=" * 24]
)
def test_what_is_no_checksum_matches_nothing(declared: str) -> None:
    difference = Expected(md5=declared).mismatch(size=5, sha1=SHA1.hex(), md5=MD5.hex())
    assert difference is not None
    assert (difference.failure.code, difference.failure.is_transient) == ("MD5_MISMATCH", False)


def test_only_what_is_declared_is_compared() -> None:
    assert not Expected().is_given
    assert Expected(size=0).is_given
    assert Expected().mismatch(size=5, sha1="", md5="") is None
    assert Expected(5, SHA1.hex(), MD5.hex()).mismatch(size=5, sha1=SHA1.hex(), md5=MD5.hex()) is None
    difference = Expected(size=0).mismatch(size=5, sha1="", md5="")
    assert difference is not None
    assert difference.failure.code == "SIZE_MISMATCH"
