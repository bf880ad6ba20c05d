"""What a client declared of a file before it came, and whether the file is that one."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from attachments.failures import DownloadFailed, final

_DIGEST_BYTES = {"sha1": 20, "md5": 16}


@dataclass(frozen=True, slots=True)
class Expected:
    """A declared size (bytes) and declared checksums, hexadecimal or base64; None and empty promise nothing."""

    size: int | None = None
    sha1: str = ""
    md5: str = ""

    @property
    def is_given(self) -> bool:
        """Whether anything was declared."""
        return self.size is not None or bool(self.sha1 or self.md5)

    def mismatch(self, *, size: int, sha1: str, md5: str, status: int | None = None) -> DownloadFailed | None:
        """The first thing in which a file differs, as a final failure; None where all that was declared matches."""
        if self.size is not None and self.size != size:
            return final("SIZE_MISMATCH", f"size: {self.size} bytes were declared, {size} came", status)
        for name, declared, found in (("sha1", self.sha1, sha1), ("md5", self.md5, md5)):
            if declared and as_hex(declared, _DIGEST_BYTES[name]) != found:
                return final(f"{name.upper()}_MISMATCH", f"{name}: the file's is {found}, another was declared", status)
        return None


def as_hex(declared: str, length: int) -> str:
    """A checksum of ``length`` bytes in lower-case hexadecimal, from either spelling; empty where it is neither.

    Base64 is how Content-MD5, Google's and Azure's stores write one; also the URL-safe alphabet, and without padding.
    """
    text = declared.strip()
    if len(text) == 2 * length:
        return text.lower()
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
        """The same chunks, measured on their way."""
        for chunk in chunks:
            self.size += len(chunk)
            self._sha1.update(chunk)
            self._md5.update(chunk)
            yield chunk

    def is_(self, expected: Expected) -> bool:
        """Whether these bytes are the declared file."""
        return expected.mismatch(size=self.size, sha1=self._sha1.hexdigest(), md5=self._md5.hexdigest()) is None
