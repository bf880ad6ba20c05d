"""Normalization: one spelling for each record, with ``data`` left as it was sent.

``_type`` lower-cased, ``_event_at`` cut to the second, ``_project_id`` folded into ``_project_ids``, ``_nature`` filled in.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lake.envelope import AttachmentEntry, Envelope, Participant, Pii
from lake.json_text import one_line

DEFAULT_NATURE = "evidence"


class _Head(Struct, gc=False, rename=lambda name: f"_{name}"):
    """The normalized envelope without ``data``, in the order in which it is written."""

    type: str
    schema_version: str
    event_at: str
    nature: str
    vendor_ids: dict[str, str]
    product_id: str
    project_ids: list[str]
    thread_id: str | UnsetType = UNSET
    participants: list[Participant] | UnsetType = UNSET
    attachments: list[AttachmentEntry] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    pii: Pii | UnsetType = UNSET


@dataclass(slots=True)
class NormalizedRecord:
    """A record in its one spelling. ``head``: the envelope without ``data`` as JSON; ``data``: bytes as sent."""

    envelope: _Head
    head: bytes
    data: bytes

    @property
    def event_seconds(self) -> int:
        """When it happened, in seconds since 1970."""
        return int(datetime.fromisoformat(f"{self.envelope.event_at[:19]}+00:00").timestamp())

    @property
    def type(self) -> str:
        return self.envelope.type

    @property
    def product_id(self) -> str:
        return self.envelope.product_id

    @property
    def project_ids(self) -> list[str]:
        return self.envelope.project_ids

    @property
    def vendor_ids(self) -> dict[str, str]:
        return self.envelope.vendor_ids

    @property
    def thread_id(self) -> str | None:
        return None if isinstance(self.envelope.thread_id, UnsetType) else self.envelope.thread_id

    @property
    def participants(self) -> list[Participant]:
        return [] if isinstance(self.envelope.participants, UnsetType) else self.envelope.participants

    @property
    def attachments(self) -> list[AttachmentEntry]:
        return [] if isinstance(self.envelope.attachments, UnsetType) else self.envelope.attachments

    @property
    def tags(self) -> list[str]:
        return [] if isinstance(self.envelope.tags, UnsetType) else self.envelope.tags


_encode = msgspec.json.Encoder().encode


def normalize(envelope: Envelope) -> NormalizedRecord:
    """The record in its one spelling. The envelope must be valid."""
    event_at = f"{envelope.event_at[:19]}Z"
    head = _Head(
        type=envelope.type.lower(),
        schema_version=envelope.schema_version,
        event_at=event_at,
        nature=DEFAULT_NATURE if isinstance(envelope.nature, UnsetType) else envelope.nature,
        vendor_ids=envelope.vendor_ids,
        product_id=envelope.product_id,
        project_ids=envelope.all_project_ids,
        thread_id=envelope.thread_id,
        participants=envelope.participants,
        attachments=envelope.attachments,
        tags=envelope.tags,
        pii=envelope.pii,
    )
    return NormalizedRecord(head, _encode(head), bytes(envelope.data))


def document(head: bytes, data: bytes, *, single_line: bool) -> bytes:
    """The whole envelope as JSON; on a single line the line breaks between ``data``'s tokens become spaces."""
    return head[:-1] + b',"data":' + (one_line(data) if single_line else data) + b"}"


def same_whatever_the_order(record: NormalizedRecord) -> bytes:
    """The head with what has no order sorted: equal for equal envelopes."""
    head = record.envelope
    if len(head.project_ids) == 1 and len(head.vendor_ids) == 1:
        return record.head
    ordered: dict[str, str] = dict(sorted(head.vendor_ids.items()))
    return _encode(msgspec.structs.replace(head, project_ids=sorted(head.project_ids), vendor_ids=ordered))
