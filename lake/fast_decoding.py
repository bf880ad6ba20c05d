"""Decodes records fast, and proves that they break no rule. It accepts only what it can prove.

msgspec checks the types of `lake.envelope`. The proofs here add the formats, and that no key is repeated. Two of the
proofs are made for a group of records at once, because that is cheaper.
"""

import re
import struct
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import attrgetter, is_not
from typing import Any

import msgspec
from msgspec import UNSET

from lake import field_rules
from lake.email_addresses import is_email
from lake.envelope import Envelope
from lake.formats import FORM_OF_EVENT_AT, FORMATS, RECORD_TYPES, is_date, is_record_type, is_uri
from lake.key_counts import key_count, written_key_count

_LINES_OF_EVENT_AT = re.compile(rf"(?:{FORM_OF_EVENT_AT}\n)*+")
# Fields with numbers that can be written longer than they were sent (``1.0`` for ``1``), and what they are when absent.
_GROWING: list[tuple[Callable[[Envelope], Any], Any]] = [
    (attrgetter(one.name), field_rules.absent(one))
    for one in field_rules.fields_with(Envelope, msgspec.inspect.FloatType)
]
# Formats of fields that `_decode_group` does not check itself.
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
    """Every proof is cheaper for a whole group. If one fails for the group, each record is checked separately."""
    envelopes = _decode_all(raws)
    if envelopes is not None and _are_sound(envelopes) and _all_keys_stand_once(raws, envelopes):
        return list[Envelope | None](envelopes)
    return [_decode_one(raw) for raw in raws]


def _decode_one(raw: bytes) -> Envelope | None:
    envelopes = _decode_all((raw,))
    if envelopes is None or not _are_sound(envelopes) or not _keys_stand_once(raw, envelopes[0]):
        return None
    return envelopes[0]


def _decode_all(raws: Sequence[bytes]) -> list[Envelope] | None:
    """The envelopes, with the types that msgspec checks. None if any record is refused."""
    try:
        envelopes = list(map(_decode, raws))
        # msgspec does not look at the bytes of `data`.
        if not all(map(bytes.isascii, raws)):
            for raw in raws:
                raw.decode()
    except _REFUSALS:
        return None
    return envelopes


def _are_sound(envelopes: Sequence[Envelope]) -> bool:
    """Whether all formats hold, and the rules that the types do not state."""
    others = {one.type for one in envelopes} - RECORD_TYPES
    if others and not all(map(is_record_type, others)):
        return False
    for one in envelopes:
        if (
            _first_byte(one.data) != _BRACE
            or (one.project_ids is UNSET and one.project_id is UNSET)
            or not ((one.participants is UNSET and one.attachments is UNSET) or _formats_hold(one))
        ):
            return False
    return _are_instants([one.event_at for one in envelopes]) and (
        not _FORMAT_TESTS or all(map(_more_formats_hold, envelopes))
    )


def _are_instants(texts: Sequence[str]) -> bool:
    """Whether `is_instant` holds for each text."""
    lines = "\n".join([*texts, ""])
    # With as many lines as texts, no text contains a line break.
    is_form = _LINES_OF_EVENT_AT.fullmatch(lines) is not None and lines.count("\n") == len(texts)
    return is_form and all(map(is_date, {text[:10] for text in texts}))


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
