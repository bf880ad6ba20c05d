"""Names of the files that a converter writes beside its records: ``NAME-CHECKSUM.EXTENSION``, all in one directory.

The checksum tells files with the same name apart, whatever the order in which they are converted. When such a file is
uploaded, the record gets the file's own name.
"""

from collections.abc import Collection

_CHECKSUM_DIGITS = 12


def local(stem: str, extension: str, sha1: str) -> str:
    """The name in the directory. ``sha1``: the file's checksum in hexadecimal."""
    return f"{stem}-{sha1[:_CHECKSUM_DIGITS]}{extension}"


def own(name: str, sha1: str) -> str:
    """The file's own name, if the name has the file's checksum. Any other name is returned unchanged."""
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    mark = f"-{sha1[:_CHECKSUM_DIGITS]}"
    if len(mark) <= _CHECKSUM_DIGITS or not stem.endswith(mark) or "/" in name:
        return name
    return f"{stem.removesuffix(mark)}{dot}{extension}"


def told_apart(name: str, others: Collection[object]) -> str:
    """The name, with a number if another file of the record has it: ``offer (2).pdf``."""
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    number, found = 1, name
    while found in others:
        number += 1
        found = f"{stem} ({number}){dot}{extension}"
    return found
