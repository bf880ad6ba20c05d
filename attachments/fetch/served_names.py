"""The name (RFC 6266) and the type under which a stored file is served.

The object store sends the headers, and an S3 URL can set only some of them. `X-Content-Type-Options` is not among them.
So a type that a browser would run, or would guess, is served as bytes.
"""

import re
import unicodedata
from urllib.parse import quote

# The longest name that common file systems allow.
MAX_NAME_BYTES = 255
MAX_EXTENSION_BYTES = 32
BYTES = "application/octet-stream"

_EXTENSION = re.compile(r"(?:\.tar)?\.[^\s.]+\Z", re.IGNORECASE)
# Scripts from Persian to Sinhala and many emoji need the two joiners. Other format characters only deceive.
_JOINERS = frozenset("\u200c\u200d")
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_UNSAFE = frozenset('"/\\')
_PLAIN = frozenset(" ._-()[]+,=@")
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]+"  # noqa: S105
_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})(?:\s*;\s*charset=[A-Za-z0-9._-]{{1,40}})?")
_ACTIVE = re.compile(r"html|svg|xml\b|xsl|script|flash|\A(?:multipart|message|unknown)/|/unknown\Z")


def disposition(filename: str) -> str:
    """A ``Content-Disposition`` that saves the file under its own name.

    ``filename`` serves clients that know nothing else. ``filename*`` is added if the name needs more characters.
    """
    name = _safe(filename)
    if not name:
        return "attachment"
    plain = _plain(name)
    own = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{own}'


def served_type(mime_type: str) -> str:
    """The type to serve a file as: its own, or bytes if a browser would run it or could not read the type."""
    found = _TYPE.fullmatch(mime_type.strip())
    if found is None or _ACTIVE.search(found[1].lower()):
        return BYTES
    return found[0]


def _safe(filename: str) -> str:
    """The name without characters that quote, lead elsewhere or change the reading direction. A long name keeps its
    extension.
    """
    name = "".join("_" if _is_unsafe(c) else c for c in filename).strip().rstrip(".")
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    found = _EXTENSION.search(name)
    extension = found[0] if found and len(found[0].encode()) <= MAX_EXTENSION_BYTES else ""
    stem = name[: len(name) - len(extension)].encode()[: MAX_NAME_BYTES - len(extension.encode())]
    return stem.decode(errors="ignore").rstrip() + extension


def _is_unsafe(character: str) -> bool:
    return character in _UNSAFE or (unicodedata.category(character) in _UNSAFE_CATEGORIES and character not in _JOINERS)


def _plain(name: str) -> str:
    """The name in ASCII: letters lose their accents, everything else becomes ``_``."""
    letters = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return "".join(c if c.isascii() and (c.isalnum() or c in _PLAIN) else "_" for c in letters)
