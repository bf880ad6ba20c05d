"""Writes the files of a mail under names that are safe on every system."""

import re
import uuid
from collections.abc import Mapping
from pathlib import Path

from evermuse.client import local_names

# Control characters, path separators, and characters that Windows refuses.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f<>:\"/\\|?*\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}")
# File systems allow 255 bytes for a name.
MAX_STEM_BYTES = 150
EXTENSIONS: Mapping[str, str] = {
    "text/plain": ".txt", "text/html": ".html", "text/calendar": ".ics", "text/csv": ".csv", "message/rfc822": ".eml",
    "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "application/pdf": ".pdf", "application/zip": ".zip",
    "application/ms-tnef": ".dat", "audio/mpeg": ".mp3", "audio/wav": ".wav", "video/mp4": ".mp4",
    "application/json": ".json", "application/xml": ".xml", "text/xml": ".xml", "text/vcard": ".vcf",
}  # fmt: skip


def safe_name(filename: str, *, mime_type: str, sha1: str) -> str:
    """A name for a file in one flat directory: the given name without unsafe characters, and a part of the checksum.

    Equal files with equal names get the same name. Different files never do.
    """
    base = filename.replace("\\", "/").rstrip("/").rpartition("/")[2]
    base = _UNSAFE.sub("_", base).strip(" ._")
    stem, dot, extension = base.rpartition(".")
    stem, extension = (stem, dot + extension) if stem else (base, "")
    if _EXTENSION.fullmatch(extension) is None:
        stem, extension = base, EXTENSIONS.get(mime_type, "") if not extension else ""
    stem = stem.encode("utf-8", "replace")[:MAX_STEM_BYTES].decode("utf-8", "ignore").strip(" ._") or "attachment"
    if _RESERVED.fullmatch(stem):
        stem = f"_{stem}"
    return local_names.local(stem, extension, sha1)


def write(directory: Path, name: str, content: bytes) -> None:
    """Write a file atomically. An existing file with the same size is the same file."""
    target = directory / name
    try:
        if target.stat().st_size == len(content):
            return
    except OSError:
        directory.mkdir(parents=True, exist_ok=True)
    draft = directory / f".{uuid.uuid4().hex}.part"
    try:
        draft.write_bytes(content)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def kind_of(mime_type: str) -> str:
    """The envelope's type of an attachment."""
    main = mime_type.partition("/")[0]
    return main if main in {"audio", "video", "image", "text"} else "file"
