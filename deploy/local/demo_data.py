"""The sample data of `make demo`: records of every type, repeated and changed records, bad records, and files."""

import json
import math
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]

TYPES = (
    "email_thread", "email", "meeting_notes", "call", "call_transcription", "conversation", "message", "document",
    "spreadsheet",
)  # fmt: skip
RECORDS_PER_TYPE = 40
_BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
_PEOPLE = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances")
_TOPICS = ("the invoice", "a login that fails", "the new export", "an outage on Friday", "prices", "onboarding")


@dataclass(frozen=True, slots=True)
class Sending:
    """One POST of the demo, and what it shows.

    ``is_again``: its records were sent before. It waits until they have landed, or it might land first and replace them.
    """

    what: str
    records: list[Record]
    is_ndjson: bool = False
    is_gzipped: bool = False
    is_again: bool = False

    @property
    def body(self) -> bytes:
        """The bytes to send, before compression."""
        if self.is_ndjson:
            return b"".join(json.dumps(record).encode() + b"\n" for record in self.records)
        return json.dumps(self.records).encode()


def sendings(files: dict[str, str], run: str) -> list[Sending]:
    """All POSTs in order. ``files``: name → URL. ``run`` makes the attachments' records differ between runs."""
    made = [
        Sending(kind.replace("_", " "), _records(kind), is_ndjson=number % 2 == 1, is_gzipped=number % 3 == 2)
        for number, kind in enumerate(TYPES)
    ]
    emails = made[1].records
    changed = [{**record, "data": {**record["data"], "edited": run}} for record in emails[:15]] + emails[15:]
    return [
        *made,
        Sending("email, sent again", emails, is_again=True),
        Sending("email, 15 changed", changed, is_ndjson=True, is_again=True),
        Sending("message, some bad", _records("message")[:10] + _bad_records(), is_again=True),
        Sending("message, all bad", _bad_records()),
        Sending("call, with recordings", _with_files(files, run)),
    ]


def _records(kind: str) -> list[Record]:
    return [_record(kind, number) for number in range(RECORDS_PER_TYPE)]


def _record(kind: str, number: int) -> Record:
    who, other = (_PEOPLE[(number + step) % len(_PEOPLE)] for step in (0, 1))
    return {
        "_type": kind,
        "_schema_version": "1.0.0",
        "_event_at": (_BEGAN + timedelta(minutes=7 * number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "_vendor_ids": {"crm": f"{kind}-{number:04d}"},
        "_product_id": "prod-abc",
        "_project_ids": ["proj-123"] if number % 2 else ["proj-123", "proj-456"],
        "_thread_id": f"thread-{number // 4}",
        "_participants": [
            {"id": who.lower(), "role": "external", "name": who, "email": f"{who.lower()}@customer.example"},
            {"id": other.lower(), "role": "internal", "name": other, "type": "workspace_member"},
        ],
        "_tags": ["demo", kind],
        "data": {"subject": f"About {_TOPICS[number % len(_TOPICS)]}", "text": f"{who} asks {other} for help. " * 12},
    }


def _bad_records() -> list[Record]:
    good = _record("message", 900)
    return [
        {**good, "_event_at": "yesterday"},
        {**good, "_project_ids": ["proj-unknown"]},
        {**good, "_vendor_ids": {}, "_tags": ["x" * 65]},
        {**good, "surprise": True},
    ]


def _with_files(files: dict[str, str], run: str) -> list[Record]:
    return [
        {
            **_record("call", 800 + number),
            "_vendor_ids": {"crm": f"call-{run}-{number}"},
            "_attachments": [{"type": _kind(name), "filename": name, "vendor_url": url}],
        }
        for number, (name, url) in enumerate(files.items())
    ]


def _kind(name: str) -> str:
    return {"wav": "audio", "png": "image"}.get(name.rpartition(".")[2], "file")


def contents() -> dict[str, tuple[str, bytes]]:
    """The files of the demo's server: path → content type and bytes."""
    made: dict[str, tuple[str, bytes]] = {}
    for number in range(8):
        made[f"recording-{number}.wav"] = ("audio/wav", _tone(330 + 55 * number))
    made["whiteboard.png"] = ("image/png", _picture())
    made["minutes.txt"] = ("text/plain", b"What was said, and who does what until when.\n" * 400)
    return made


def _tone(hertz: int, seconds: int = 5, rate: int = 16_000) -> bytes:
    samples = (round(12_000 * math.sin(2 * math.pi * hertz * at / rate)) for at in range(seconds * rate))
    sound = b"".join(struct.pack("<h", sample) for sample in samples)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(sound), b"WAVE")
        + form
        + struct.pack("<4sI", b"data", len(sound))
        + sound
    )


def _picture(width: int = 320, height: int = 200) -> bytes:
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 255 // width, y * 255 // height, 160)) for x in range(width)) for y in range(height)
    )

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
