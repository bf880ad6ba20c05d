"""WebVTT and SRT: one record for each file.

The event's time is ``--event-at``, else the date in the file's name, else the file's modification time. Copying may have
changed the latter, so the summary counts these files. A time without a zone is in UTC.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from evermuse.client.convert import cues, inputs
from evermuse.client.convert.decoding import decoded
from evermuse.client.convert.format import ConvertOptions, NotConvertible, reason_of
from evermuse.client.convert.people import People
from evermuse.client.convert.records import MAX_RECORD_BYTES, RecordTooLarge, record_line
from evermuse.client.convert.rejects import RejectWriter

BY_FILE_TIME = "Transcripts without a date in the name: the file's modification time was used"
WITHOUT_CUES = "Transcripts too large for a record with cues: the record has the whole source, but no cues"
BROKEN_CUES = "Broken cues and stray text: listed in defects; the whole source is in data"
# A text in UTF-16 takes half as many bytes in a record.
MAX_FILE_BYTES = 2 * MAX_RECORD_BYTES
_IN_NAME = re.compile(
    r"(?<!\d)((?:19|20)\d{2})[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
    r"(?:[T _.-]{0,3}([01]\d|2[0-3])[-_.:hH]?([0-5]\d)(?:[-_.:mM]?([0-5]\d))?)?(?!\d)"
)


class Transcripts:
    """Converts transcripts. The format is recognised by the content, not by the name."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    def convert(self, paths: Sequence[Path], *, options: ConvertOptions, rejects: RejectWriter) -> Iterator[bytes]:
        """One record for each file. A file without cues is rejected."""
        inputs.check_readable(paths)
        given = options.instant
        first_files: dict[tuple[str, str], str] = {}
        names: set[str] = set()
        for path in paths:
            for file in inputs.files_under(path, suffixes=(self._suffix,)):
                rejects.read += 1
                name = file.relative_to(path).as_posix() if path.is_dir() else file.name
                try:
                    content = _read(file)
                    digest = sha256(content).hexdigest()
                    if (first := first_files.get((name, digest))) is not None:
                        rejects.duplicate(file=str(file), offset=0, first_file=first, first_offset=0)
                        continue
                    ids = {"transcript_file": name} if file != inputs.STANDARD_INPUT else {}
                    if name in names or not ids:
                        # A file of another directory, or standard input. By its name alone it would replace another one.
                        ids["content_sha256"] = digest
                    line = _line(file, content, ids, given, options, rejects)
                except Exception as error:
                    rejects.reject(file=str(file), offset=0, reason=reason_of(error))
                    continue
                first_files[name, digest] = str(file)
                names.add(name)
                rejects.converted += 1
                yield line


def _read(file: Path) -> bytes:
    if file == inputs.STANDARD_INPUT:
        content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise NotConvertible(f"the input is too large; a record holds at most {MAX_RECORD_BYTES:,} bytes")
        return content
    size = file.stat().st_size
    if size > MAX_FILE_BYTES:
        raise NotConvertible(f"the file has {size:,} bytes; a record holds at most {MAX_RECORD_BYTES:,}")
    return file.read_bytes()


def _line(
    file: Path,
    content: bytes,
    ids: dict[str, str],
    given: datetime | None,
    options: ConvertOptions,
    rejects: RejectWriter,
) -> bytes:
    source = decoded(content)
    transcript = cues.parsed(source.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd"))
    if not transcript.cues:
        raise NotConvertible("no cue: no line with times such as 00:00:01.000 --> 00:00:02.000")
    event_at, event_at_from = _event_at(file, given)
    people = People(options.internal_domains)
    for speaker in transcript.speakers:
        people.add(id=speaker, name=speaker)

    def written(**shown: Any) -> bytes:
        return record_line(
            options,
            type="call_transcription",
            event_at=event_at,
            vendor_ids=ids,
            participants=people.entries,
            data={**_described(transcript, event_at_from), **shown, "source": source},
        )

    try:
        line = written(cues=[_shown(cue) for cue in transcript.cues])
    except RecordTooLarge:
        # Two copies of the words are too many. The source is the whole one.
        line = written(cues_omitted=len(transcript.cues))
        rejects.note(WITHOUT_CUES)
    if event_at_from == "file time":
        rejects.note(BY_FILE_TIME)
    if transcript.defects:
        rejects.note(BROKEN_CUES, len(transcript.defects))
    return line


def _described(transcript: cues.Transcript, event_at_from: str) -> dict[str, Any]:
    described = {
        "format": transcript.format,
        "event_at_from": event_at_from,
        "duration": max(cue.end for cue in transcript.cues),
        "speakers": transcript.speakers,
        "notes": transcript.notes,
        "defects": transcript.defects,
    }
    return {key: value for key, value in described.items() if value not in ("", [])}


def _shown(cue: cues.Cue) -> dict[str, Any]:
    shown = {"id": cue.id, "start": cue.start, "end": cue.end, "speaker": cue.speaker, "text": cue.text}
    return {key: value for key, value in {**shown, "settings": cue.settings}.items() if value != "" or key == "text"}


def _event_at(file: Path, given: datetime | None) -> tuple[datetime, str]:
    if given is not None:
        return given, "option"
    if (found := _IN_NAME.search(file.name)) is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC), "file name"
        except ValueError:
            pass
    if file == inputs.STANDARD_INPUT:
        raise NotConvertible("standard input has no date: give it with --event-at")
    return datetime.fromtimestamp(file.stat().st_mtime, UTC), "file time"


VTT, SRT = Transcripts(".vtt"), Transcripts(".srt")
