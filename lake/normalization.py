"""Normalization: the single spelling of a record, with ``data`` as it was sent.

``_type`` in lower case, ``_event_at`` cut to the second, ``_project_id`` merged into ``_project_ids``, and ``_nature``
filled in.
"""

from datetime import date
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw

from lake.envelope import AttachmentEntry, Envelope
from lake.json_text import one_line

DEFAULT_NATURE: Literal["evidence"] = "evidence"
# The bytes of a digest that the index stores. They are enough to distinguish versions.
DIGEST_BYTES = 16
_EPOCH = date(1970, 1, 1).toordinal()
_OPENING = len(b',"data":')
# The seconds until each minute of a day.
_MINUTES = {f"{minute // 60:02}:{minute % 60:02}": minute * 60 for minute in range(24 * 60)}

_encode = msgspec.json.Encoder().encode


class NormalizedRecord:
    """A normalized record. ``document``: all of it as JSON, with ``data`` last, byte for byte as it was sent."""

    __slots__ = ("_head_size", "document", "envelope", "project_ids")

    def __init__(self, envelope: Envelope, project_ids: list[str]) -> None:
        self.envelope, self.project_ids = envelope, project_ids
        self.document = _encode(envelope)
        self._head_size = len(self.document) - len(memoryview(envelope.data)) - _OPENING - 1

    @property
    def type(self) -> str:
        return self.envelope.type

    @property
    def product_id(self) -> str:
        return self.envelope.product_id

    @property
    def attachments(self) -> list[AttachmentEntry]:
        return self.envelope.attachment_list

    @property
    def data(self) -> bytes:
        """The value of ``data`` as it was sent."""
        return bytes(self.envelope.data)

    @property
    def head(self) -> bytes:
        """The envelope without ``data``, as JSON."""
        return self.document[: self._head_size] + b"}"

    @property
    def line(self) -> bytes:
        """The document on one line: line breaks between the tokens of ``data`` become spaces."""
        return one_line(self.document)

    @property
    def event_seconds(self) -> int:
        """The event's instant in seconds since 1970."""
        at = self.envelope.event_at
        return _midnight(at[:10]) + _MINUTES[at[11:16]] + int(at[17:19])

    @property
    def digest(self) -> bytes:
        """A SHA-256 that is equal for equal envelopes (project ids and vendor ids as sets) with byte-equal ``data``.

        It covers the head, with unordered parts sorted, a line break, and ``data``. The head contains no line break, so
        head and data cannot be confused.
        """
        size = self._head_size
        if len(self.project_ids) == 1 and len(self.envelope.vendor_ids) == 1:
            head = self.document[:size] + b"}"
        else:
            head = _sorted_head(self.envelope)
        return sha256(b"%b\n%b" % (head, self.document[size + _OPENING : -1])).digest()


def normalize(envelope: Envelope) -> NormalizedRecord:
    """Normalize a valid envelope. Changes the envelope."""
    envelope.type = envelope.type.lower()
    envelope.event_at = f"{envelope.event_at[:19]}Z"
    project_ids = envelope.project_ids = envelope.all_project_ids
    envelope.project_id = UNSET
    if envelope.nature is UNSET:
        envelope.nature = DEFAULT_NATURE
    for name, default in _defaults(type(envelope)) if _HAS_DEFAULTS else ():
        if getattr(envelope, name) == default:
            setattr(envelope, name, default)  # the identical object, because the encoder omits only that
    return NormalizedRecord(envelope, project_ids)


@cache
def _defaults(kind: type[Envelope]) -> list[tuple[str, Any]]:
    """Fields with their defaults. A default is not written, so that a new field does not change the digests of stored records.

    ``_nature`` is not one of them, because it has always been written.
    """
    fields = msgspec.structs.fields(kind)
    return [(one.name, one.default) for one in fields if one.default not in (UNSET, msgspec.NODEFAULT)]


_HAS_DEFAULTS = bool(_defaults(Envelope))


def _sorted_head(envelope: Envelope) -> bytes:
    ordered = msgspec.structs.replace(
        envelope,
        project_ids=sorted(envelope.all_project_ids),
        vendor_ids=dict(sorted(envelope.vendor_ids.items())),
        data=Raw(b"{}"),
    )
    return _encode(ordered).removesuffix(b',"data":{}}') + b"}"


@lru_cache(4096)
def _midnight(day: str) -> int:
    return (date.fromisoformat(day).toordinal() - _EPOCH) * 86_400
