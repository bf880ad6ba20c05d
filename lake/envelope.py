"""The Integration Envelope: the only validator of a record, used by admission and by landing.

The types below state the rules. A fast decoder checks them all at once. If it refuses a record, or cannot prove that no
key is repeated, `lake.envelope_errors` walks the same types, finds every error and decides: some JSON that the decoder
refuses is valid (nesting beyond its depth, lone surrogates inside ``data``).

Source: the HTTP contract, "A record: the Integration Envelope".
"""

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import repeat
from operator import attrgetter, is_not
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from lake import field_rules
from lake.email_addresses import is_email
from lake.key_counts import key_count, written_key_count

RECORD_TYPES = frozenset(
    {
        "email_thread",
        "email",
        "meeting_notes",
        "call",
        "call_transcription",
        "conversation",
        "message",
        "document",
        "spreadsheet",
    }
)
VALIDATION_ERROR, INVALID_JSON = "VALIDATION_ERROR", "INVALID_JSON"
UNKNOWN_PRODUCT, UNKNOWN_PROJECT = "UNKNOWN_PRODUCT", "UNKNOWN_PROJECT"
MAX_ERRORS = 100

Text64 = Annotated[str, Meta(max_length=64)]
Text128 = Annotated[str, Meta(max_length=128)]
Text256 = Annotated[str, Meta(max_length=256)]
Text512 = Annotated[str, Meta(max_length=512)]
Share = Annotated[float, Meta(ge=0, le=1)]
# The format names a rule that the types cannot say; FORMATS has its test.
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
    # A default that is added later must not change how records are written that were stored before (`lake.normalization`).
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


class FieldError(Struct, frozen=True, gc=False):
    """One broken rule: its code, the field's JSON pointer, and a message with field and rule."""

    code: str
    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """The mentioned products and projects that the workspace has."""

    product_ids: frozenset[str]
    project_ids: frozenset[str]


FORM_OF_EVENT_AT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,3})?Z"
_EVENT_AT = re.compile(FORM_OF_EVENT_AT)
_LINES_OF_EVENT_AT = re.compile(rf"(?:{FORM_OF_EVENT_AT}\n)*+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:(?:[^\s\x00-\x20\x7f<>\"{}|\\^`%]|%[0-9A-Fa-f]{2})++")


def is_record_type(text: str) -> bool:
    """Whether a text names a record type, in any case."""
    return text.lower() in RECORD_TYPES


def is_instant(text: str) -> bool:
    """Whether a text has the form of ``_event_at`` and is a real instant."""
    return _EVENT_AT.fullmatch(text) is not None and _is_date(text[:10])


@lru_cache(4096)
def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_uri(text: str) -> bool:
    """Whether a text is an absolute URI (RFC 3986). Letters beyond ASCII are accepted."""
    return _URI.fullmatch(text) is not None


# Rules that the types cannot say, by the format that names them: the test, and the rule in words.
FORMATS: dict[str, tuple[Callable[[str], bool], str]] = {
    "record-type": (is_record_type, f"must be one of {', '.join(sorted(RECORD_TYPES))}"),
    "instant": (is_instant, "must be a real instant in UTC such as 2026-01-31T12:00:00Z, with at most 3 decimals"),
    "email": (is_email, "must be an e-mail address"),
    "uri": (is_uri, "must be an absolute URI"),
}
field_rules.demand(Envelope, formats=FORMATS)

# Fields with numbers that can be written longer than they were sent (``1.0`` for ``1``), and what they are when absent.
_GROWING: list[tuple[Callable[[Envelope], Any], Any]] = [
    (attrgetter(one.name), field_rules.absent(one))
    for one in field_rules.fields_with(Envelope, msgspec.inspect.FloatType)
]
# Formats of fields that `_decode_group` does not look at by itself.
_FORMAT_TESTS = field_rules.format_tests(
    Envelope,
    {name: holds for name, (holds, _) in FORMATS.items()},
    but={("type",), ("event_at",), ("participants", "email"), ("attachments", "vendor_url")},
)

_decode = msgspec.json.Decoder(Envelope).decode
_encode_into = msgspec.json.Encoder().encode_into
_first_byte = struct.Struct("c").unpack_from
_BRACE = (b"{",)
# The number of records that are proven together. All memory that they need fits into a core's cache.
GROUP_RECORDS = 128
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode_quickly(raws: Sequence[bytes]) -> list[Envelope | None]:
    """Each record's envelope if the fast decoder proves that every rule holds, else None."""
    found: list[Envelope | None] = []
    for start in range(0, len(raws), GROUP_RECORDS):
        found += _decode_group(raws[start : start + GROUP_RECORDS])
    return found


def _decode_group(raws: Sequence[bytes]) -> list[Envelope | None]:
    """Two proofs are cheaper for a whole group. If one fails for the group, each record is checked by itself."""
    found: list[Envelope | None] = []
    for raw in raws:
        try:
            envelope = _decode(raw)
            if not raw.isascii():
                raw.decode()
        except _REFUSALS:
            found.append(None)
            continue
        is_sound = (
            _first_byte(envelope.data) == _BRACE
            and (envelope.type in RECORD_TYPES or is_record_type(envelope.type))
            and not (envelope.project_ids is UNSET and envelope.project_id is UNSET)
            and ((envelope.participants is UNSET and envelope.attachments is UNSET) or _formats_hold(envelope))
            and (not _FORMAT_TESTS or _more_formats_hold(envelope))
        )
        found.append(envelope if is_sound else None)
    sound = [envelope for envelope in found if envelope is not None]
    if len(sound) == len(raws) and _are_instants([e.event_at for e in sound]) and _all_keys_stand_once(raws, sound):
        return found
    return [
        envelope if envelope and is_instant(envelope.event_at) and _keys_stand_once(raw, envelope) else None
        for raw, envelope in zip(raws, found, strict=True)
    ]


def _are_instants(texts: Sequence[str]) -> bool:
    """Whether `is_instant` holds for each text."""
    lines = "\n".join([*texts, ""])
    # With as many lines as texts, no text contains a line break.
    is_form = _LINES_OF_EVENT_AT.fullmatch(lines) is not None and lines.count("\n") == len(texts)
    return is_form and all(map(_is_date, {text[:10] for text in texts}))


def _all_keys_stand_once(raws: Sequence[bytes], envelopes: Sequence[Envelope]) -> bool:
    """Prove that no envelope repeats a key, by their total length; see `_keys_stand_once`.

    No envelope is written longer than it was sent, so if the total length is equal, each length is.
    """
    for given, absent in _GROWING:
        if any(map(is_not, map(given, envelopes), repeat(absent))):
            return False
    # The array has brackets, and commas between the records.
    size = sum(map(len, raws)) + len(envelopes) + 1
    written = bytearray(size)
    _encode_into(envelopes, written)
    return len(written) == size


def _formats_hold(envelope: Envelope) -> bool:
    for participant in envelope.participants or ():
        if participant.email is not UNSET and not is_email(participant.email):
            return False
    for attachment in envelope.attachments or ():
        if attachment.vendor_url is not UNSET and not is_uri(attachment.vendor_url):
            return False
    return True


def _more_formats_hold(envelope: Envelope) -> bool:
    for name, holds in _FORMAT_TESTS:
        value = getattr(envelope, name)
        if value is not UNSET and not holds(value):
            return False
    return True


def _keys_stand_once(raw: bytes, envelope: Envelope) -> bool:
    """Prove that the envelope repeats no key, by encoding the decoded envelope, which has every key once.

    A text that was sent without white space has the same length. A repeated key would make it longer, and only a number
    with a fraction can become longer when encoded. Otherwise both texts must contain equally many ``":``. That proves it
    if no quote is followed by white space, because then every key is followed by its colon at once, and if no string is
    escaped, because then strings are equal in both. Otherwise the keys are counted without the strings.
    """
    written = bytearray(len(raw))
    _encode_into(envelope, written)
    if len(written) == len(raw) and all(given(envelope) is absent for given, absent in _GROWING):
        return True
    data = bytes(envelope.data)
    end = len(raw) - 1
    if is_last := raw[end - len(data) : end] == data:
        head = raw[: end - len(data)]
    else:
        before, _, after = raw.partition(data)
        head = before + after
    # Usually there is none, and the single byte shows that sooner.
    if (
        b"\\" in head
        or b'" ' in head
        or (b"\n" in head and b'"\n' in head)
        or (b"\r" in head and b'"\r' in head)
        or (b"\t" in head and b'"\t' in head)
    ):
        sent = head if is_last else raw
        return key_count(sent) == written_key_count(
            bytes(written[: len(written) - 1 - len(data)] if is_last else written)
        )
    # Both contain the same data, which comes last.
    return head.count(b'":') == written.count(b'":', 0, len(written) - 1 - len(data))


def check_known(envelope: Envelope, catalog: Catalog) -> list[FieldError]:
    """One error for each product or project that the workspace does not have."""
    if envelope.product_id in catalog.product_ids and catalog.project_ids.issuperset(envelope.all_project_ids):
        return []
    errors: list[FieldError] = []
    if envelope.product_id not in catalog.product_ids:
        message = f"_product_id: the product {_shown(envelope.product_id)} is not known in this workspace"
        errors.append(FieldError(UNKNOWN_PRODUCT, "/_product_id", message))
    several = [] if isinstance(envelope.project_ids, UnsetType) else envelope.project_ids
    # Each is reported once, at its first mention.
    unknown = [value for value in dict.fromkeys(several) if value not in catalog.project_ids]
    at = 0
    for value in unknown[: MAX_ERRORS - len(errors)]:
        at = several.index(value, at)
        message = f"_project_ids[{at}]: the project {_shown(value)} is not known in this workspace"
        errors.append(FieldError(UNKNOWN_PROJECT, f"/_project_ids/{at}", message))
    one = envelope.project_id
    if len(errors) < MAX_ERRORS and isinstance(one, str) and one not in catalog.project_ids and one not in several:
        message = f"_project_id: the project {_shown(one)} is not known in this workspace"
        errors.append(FieldError(UNKNOWN_PROJECT, "/_project_id", message))
    return errors


def _shown(text: str) -> str:
    return repr(text if len(text) <= 128 else text[:127] + "…")
