"""A declared size, and declared checksums in each spelling that clients use."""

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
def test_declared_md5_may_be_hex_or_base64(declared: str) -> None:
    assert as_hex(declared, 16) == MD5.hex()


@pytest.mark.parametrize(
    ("declared", "digest"),
    [(spelling, digest) for digest in (SHA1, bytes([255, 254, 253] * 7)[:20]) for spelling in spellings(digest)],
)
def test_declared_sha1_may_be_hex_or_base64(declared: str, digest: bytes) -> None:
    assert as_hex(declared, 20) == digest.hex()


@pytest.mark.parametrize(
    "declared", ["x", "é" * 24, "XUFAKrxLKna5cZ2REBfFkg==extra", MD5.hex()[:-1], SHA1.hex(), "=" * 24, "g" * 32]
)
def test_malformed_checksum_never_matches_and_is_named_as_such(declared: str) -> None:
    difference = Expected(md5=declared).mismatch(size=5, sha1=SHA1.hex(), md5=MD5.hex())
    assert difference is not None
    assert (difference.failure.code, difference.failure.is_transient) == ("MD5_MISMATCH", False)
    assert difference.failure.message == "md5: the declared value is no checksum of 16 bytes in hexadecimal or base64"


def test_only_declared_values_are_compared() -> None:
    assert not Expected().is_given
    assert Expected(size=0).is_given
    assert Expected().mismatch(size=5, sha1="", md5="") is None
    assert Expected(5, SHA1.hex(), MD5.hex()).mismatch(size=5, sha1=SHA1.hex(), md5=MD5.hex()) is None
    difference = Expected(size=0).mismatch(size=5, sha1="", md5="")
    assert difference is not None
    assert difference.failure.code == "SIZE_MISMATCH"
