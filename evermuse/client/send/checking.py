"""Checks each record with the server's validator, and extracts what grouping needs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from operator import attrgetter
from typing import NoReturn, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from evermuse.client.send.grouping import MAX_BODY_BYTES
from evermuse.client.send.reading import MAX_VALUE_BYTES
from lake.envelope import Envelope
from lake.envelope_errors import explain
from lake.fast_decoding import decode_quickly
from lake.field_errors import INVALID_JSON, FieldError
from lake.json_text import JsonText, decode_string, one_line
from lake.normalization import normalize

Position = tuple[int, int]
TOO_LARGE = "PAYLOAD_TOO_LARGE"
# An array of one record has two brackets.
MAX_RECORD_BYTES = MAX_BODY_BYTES - 2
_product_id = attrgetter("product_id")


class Candidate(msgspec.Struct, gc=False):
    """A valid record. ``position``: source and number of the record in it. ``identity``: equal for the same record.

    ``local_files``: the attachments whose files are uploaded, by index.
    """

    position: Position
    raw: bytes
    type: str
    product_id: str
    identity: int
    attachment_count: int = 0
    local_files: dict[int, str] = {}
    _envelope: Envelope | None = None

    @property
    def envelope(self) -> Envelope:
        """The decoded record, decoded again if need be. Thousands of candidates wait at once, so it is kept only if read."""
        if self._envelope is None:
            self._envelope = _decoded(self.raw)
        return self._envelope

    def decoded(self) -> Envelope:
        """The record as it was written, without changes that were made to `envelope`."""
        return _decoded(self.raw)

    def digest(self) -> str:
        """The digest that identifies this version."""
        return normalize(self.decoded()).digest.hex()


@dataclass(frozen=True, slots=True)
class Invalid:
    """A record that the server would reject."""

    position: Position
    raw: bytes
    errors: list[FieldError]


class _Wrapped(msgspec.Struct):
    """A line of a file of rejects, or of a batch's errors."""

    payload: Raw
    errors: Raw
    type: Raw | UnsetType = msgspec.field(default=UNSET, name="_type")


def unwrapped(raw: bytes) -> bytes:
    """The record in a line of a file of rejects. Any other record is returned unchanged."""
    if b'"payload"' not in raw or b'"errors"' not in raw:
        return raw
    payload = _payload(raw)
    if payload is None:
        return raw
    if payload[:1] == b'"':  # the text of a line that was not JSON
        try:
            return decode_string(payload).encode("utf-8", "surrogatepass").strip()
        except ValueError:
            return raw
    return payload


def _payload(raw: bytes) -> bytes | None:
    try:
        found = msgspec.json.decode(raw, type=_Wrapped)
        return bytes(found.payload) if found.type is UNSET else None
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        members = {decode_string(key): raw[start:end] for key, start, end in JsonText(raw).members(0)}
    except ValueError:
        return None
    return members.get("payload") if "errors" in members and "_type" not in members else None


def check(raws: Sequence[bytes], source: int, first: int) -> list[Candidate | Invalid]:
    """The verdict on each record. ``first``: the number of the first one in its source."""
    envelopes = decode_quickly(raws)
    positions = zip(repeat(source), count(first))
    if None not in envelopes and max(map(len, raws), default=0) <= MAX_RECORD_BYTES:
        return _candidates(positions, raws, cast(list[Envelope], envelopes))
    return [
        _checked_slowly(raw, position)
        if envelope is None or len(raw) > MAX_RECORD_BYTES
        else _candidate(position, raw, envelope)
        for position, raw, envelope in zip(positions, raws, envelopes, strict=False)
    ]


def _candidates(
    positions: Iterable[Position], raws: Sequence[bytes], envelopes: Sequence[Envelope]
) -> list[Candidate | Invalid]:
    """Candidates for valid records. Makes them together, because Python's share of the work for one is several times that."""
    types = [one.type.lower() for one in envelopes]
    identities = [
        hash((type, one.event_at[:19], frozenset(one.vendor_ids.items())))
        for type, one in zip(types, envelopes, strict=True)
    ]
    products = map(_product_id, envelopes)
    counts = [0 if one.attachments is UNSET else len(one.attachments) for one in envelopes]
    return list(map(Candidate, positions, raws, types, products, identities, counts))


def _candidate(position: Position, raw: bytes, envelope: Envelope) -> Candidate | Invalid:
    (found,) = _candidates([position], [raw], [envelope])
    return found


def _checked_slowly(raw: bytes, position: Position) -> Candidate | Invalid:
    """The verdict on a record that the fast decoder refuses, is too large, or is a line of a file of rejects."""
    envelope = None
    if (record := unwrapped(raw)) is not raw:
        raw, (envelope,) = record, decode_quickly([record])
    if len(raw) > MAX_RECORD_BYTES:
        return _too_large(raw, position)
    if envelope is None:
        found = explain(raw)
        if found.envelope is None:
            return Invalid(position, raw, found.errors)
        envelope = found.envelope
    return _candidate(position, raw, envelope)


def _too_large(raw: bytes, position: Position) -> Invalid:
    """The verdict on a record that no batch can hold. Of a very long one, only the beginning was read."""
    is_whole = len(raw) < MAX_VALUE_BYTES
    size = f"{len(raw):,} bytes" if is_whole else f"{MAX_VALUE_BYTES:,} bytes or more"
    message = f"the record has {size}; a batch holds at most {MAX_RECORD_BYTES:,}"
    if not is_whole:
        message += f". The payload is its first {MAX_VALUE_BYTES:,} bytes"
    return Invalid(position, raw[:MAX_VALUE_BYTES], [FieldError(TOO_LARGE, "", message)])


def _decoded(raw: bytes) -> Envelope:
    """A record that was found valid."""
    (envelope,) = decode_quickly([raw])
    if envelope is None:
        envelope = explain(raw).envelope
    assert envelope is not None
    return envelope


def shown_payload(raw: bytes, code: str) -> bytes:
    """The record as JSON on one line, for a file of rejects: itself, or its text as a string. ``code``: of its first error."""
    if code != INVALID_JSON and (code != TOO_LARGE or _is_json(raw)):
        return one_line(raw)
    return msgspec.json.encode(raw.decode("utf-8", "replace"))


def _is_json(raw: bytes) -> bool:
    """Whether a record is JSON. Nothing has parsed a record that is too large."""
    try:
        json.loads(raw.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
