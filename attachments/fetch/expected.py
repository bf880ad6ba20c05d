"""What a client declared about a file, and whether the downloaded file matches."""

import base64
import binascii
import hashlib
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from attachments.download_failures import DownloadFailed, final

_DIGEST_BYTES = {"sha1": 20, "md5": 16}
_HEX_DIGITS = frozenset(string.hexdigits)


@dataclass(frozen=True, slots=True)
class Expected:
    """A declared size in bytes and declared checksums, hexadecimal or base64. None or empty: not declared."""

    size: int | None = None
    sha1: str = ""
    md5: str = ""

    @property
    def is_given(self) -> bool:
        """Whether anything was declared."""
        return self.size is not None or bool(self.sha1 or self.md5)

    def mismatch(self, *, size: int, sha1: str, md5: str, status: int | None = None) -> DownloadFailed | None:
        """The first property that differs, as a final failure. None if everything declared matches."""
        if self.size is not None and self.size != size:
            return final("SIZE_MISMATCH", f"size: {self.size} bytes were declared, {size} came", status)
        for name, declared, found in (("sha1", self.sha1, sha1), ("md5", self.md5, md5)):
            if declared and (wanted := as_hex(declared, _DIGEST_BYTES[name])) != found:
                reason = (
                    f"the file's is {found}, another was declared"
                    if wanted
                    else f"the declared value is no checksum of {_DIGEST_BYTES[name]} bytes in hexadecimal or base64"
                )
                return final(f"{name.upper()}_MISMATCH", f"{name}: {reason}", status)
        return None


def as_hex(declared: str, length: int) -> str:
    """A checksum of ``length`` bytes as lower-case hexadecimal, or an empty string if the text is not a checksum.

    Accepts base64 too, as in Content-MD5 and in Google's and Azure's stores, also URL-safe and without padding.
    """
    text = declared.strip()
    if len(text) == 2 * length:
        return text.lower() if set(text) <= _HEX_DIGITS else ""
    unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        digest = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return digest.hex() if len(digest) == length else ""


class Sent:
    """Size and checksums of the bytes as they were sent, before any decoding."""

    def __init__(self) -> None:
        self.size = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False)

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the chunks on, and measure them."""
        for chunk in chunks:
            self.size += len(chunk)
            self._sha1.update(chunk)
            self._md5.update(chunk)
            yield chunk

    def is_(self, expected: Expected) -> bool:
        """Whether the bytes that were sent are the declared file."""
        return expected.mismatch(size=self.size, sha1=self._sha1.hexdigest(), md5=self._md5.hexdigest()) is None
