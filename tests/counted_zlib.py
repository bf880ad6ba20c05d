"""A zlib that counts its input, so that quadratic work is noticed without a clock."""

import zlib


class CountedZlib:
    """Replaces the module `zlib` where only ``decompressobj`` and ``error`` are used."""

    error = zlib.error

    def __init__(self) -> None:
        self.given = 0

    def decompressobj(self, wbits: int) -> "_Member":
        return _Member(self, wbits)


class _Member:
    def __init__(self, counted: CountedZlib, wbits: int) -> None:
        self._counted, self._member = counted, zlib.decompressobj(wbits=wbits)

    def decompress(self, content: bytes, room: int) -> bytes:
        self._counted.given += len(content)
        return self._member.decompress(content, room)

    def __getattr__(self, name: str) -> object:
        return getattr(self._member, name)
