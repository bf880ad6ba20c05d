"""The Integration Envelope: the types that state the rules of a record. Admission, landing and the client use them.

`lake.fast_decoding` checks all rules at once. If it refuses a record, or cannot prove that no key is repeated,
`lake.envelope_errors` walks the same types, finds every error and decides: some JSON that the decoder refuses is valid
(nesting beyond its depth, lone surrogates inside ``data``).

Source: the HTTP contract, "A record: the Integration Envelope".
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from lake import field_rules
from lake.formats import FORMATS

Text64 = Annotated[str, Meta(max_length=64)]
Text128 = Annotated[str, Meta(max_length=128)]
Text256 = Annotated[str, Meta(max_length=256)]
Text512 = Annotated[str, Meta(max_length=512)]
Share = Annotated[float, Meta(ge=0, le=1)]
# Each names a format of `lake.formats`.
RecordType = Annotated[str, Meta(extra_json_schema={"format": "record-type"})]
Instant = Annotated[str, Meta(extra_json_schema={"format": "instant"})]
Email = Annotated[str, Meta(max_length=320, extra_json_schema={"format": "email"})]
Uri = Annotated[str, Meta(max_length=2048, extra_json_schema={"format": "uri"})]


class Participant(Struct, forbid_unknown_fields=True, gc=False):
    """A person or bot that took part."""

    id: Text256
    role: Literal["internal", "external", "unknown"]
    name: Text256 | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    type: Literal["user", "contact", "workspace_member", "bot", "system", "unknown"] | UnsetType = UNSET


class AttachmentEntry(Struct, forbid_unknown_fields=True, gc=False):
    """A file that belongs to the record. ``size``: bytes."""

    type: Literal["audio", "video", "file", "image", "text", "unknown"]
    filename: Text512 | UnsetType = UNSET
    size: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    mime_type: Text256 | UnsetType = UNSET
    sha1: Text128 | UnsetType = UNSET
    md5: Text128 | UnsetType = UNSET
    vendor_url: Uri | UnsetType = UNSET
    upload_intent_id: Text256 | UnsetType = UNSET


class DetectedEntity(Struct, forbid_unknown_fields=True, gc=False):
    """Personal data that was detected."""

    type: Text64
    value: Annotated[str, Meta(max_length=1024)] | UnsetType = UNSET
    confidence: Share | UnsetType = UNSET


class Pii(Struct, forbid_unknown_fields=True, gc=False):
    """Personal data in the record."""

    contains_email: bool | UnsetType = UNSET
    contains_phone: bool | UnsetType = UNSET
    sensitive_score: Share | UnsetType = UNSET
    detected_entities: list[DetectedEntity] | UnsetType = UNSET
    redaction_status: Literal["unredacted", "redacted", "encrypted"] | UnsetType = UNSET


class Envelope(
    Struct,
    forbid_unknown_fields=True,
    kw_only=True,
    gc=False,
    # A default that is added later must not change how stored records are written (`lake.normalization`).
    omit_defaults=True,
    rename=lambda name: name if name == "data" else f"_{name}",
):
    """A record as it was sent. Fields are in the order of a normalized record. ``data``: its bytes.

    A new field is one line, and optional, because stored records do not have it. `lake.field_rules` says what a line may be.
    """

    type: RecordType
    schema_version: Literal["1.0.0"]
    event_at: Instant
    nature: Literal["evidence", "guidance", "context"] | UnsetType = UNSET
    vendor_ids: Annotated[dict[str, str], Meta(min_length=1)]
    product_id: Text128
    project_ids: Annotated[list[Text128], Meta(min_length=1)] | UnsetType = UNSET
    project_id: Text128 | UnsetType = UNSET
    thread_id: Text512 | UnsetType = UNSET
    participants: Annotated[list[Participant], Meta(max_length=5000)] | UnsetType = UNSET
    attachments: Annotated[list[AttachmentEntry], Meta(max_length=10)] | UnsetType = UNSET
    tags: Annotated[list[Text64], Meta(max_length=200)] | UnsetType = UNSET
    pii: Pii | UnsetType = UNSET
    data: Raw

    @property
    def all_project_ids(self) -> list[str]:
        """The project ids of both fields, in the order of first mention."""
        several = [] if isinstance(self.project_ids, UnsetType) else self.project_ids
        if isinstance(self.project_id, str):
            several = [*several, self.project_id]
        return several if len(several) == 1 else list(dict.fromkeys(several))

    @property
    def attachment_list(self) -> list[AttachmentEntry]:
        """The attachments, empty if the field is absent."""
        return [] if isinstance(self.attachments, UnsetType) else self.attachments


field_rules.check_fields(Envelope, formats=FORMATS)
