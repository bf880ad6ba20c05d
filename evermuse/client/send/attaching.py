"""`--attach DIR`: uploads the files that records name, and puts the ids of the uploads into the records.

An attachment names a file by ``filename`` (a path within the directory), if it has neither ``vendor_url`` nor
``upload_intent_id``; or by ``vendor_url`` as ``file:PATH``. A converter's files have a checksum in their names, which is
removed (`evermuse.client.local_names`).
"""

import threading
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, UnsetType

from evermuse.client import local_names, uploading
from evermuse.client.blocking import Client
from evermuse.client.send.checking import Candidate
from evermuse.client.send.known import OTHER, UNKNOWN
from evermuse.client.send.stored import rows_like
from lake.envelope import AttachmentEntry, Envelope
from lake.envelope_errors import check_schema
from lake.normalization import normalize

FILE_SCHEME = "file:"


class Attacher:
    """Finds and uploads local files."""

    def __init__(self, directory: Path | None, client: Client | None) -> None:
        self._directory = directory.resolve() if directory is not None else None
        self._client = client
        self._lock = threading.Lock()
        self.uploaded = 0
        self.missing = 0
        self._declared = lru_cache(1024)(uploading.declare)

    def find(self, candidate: Candidate) -> None:
        """Note which attachments of a record are local files."""
        if self._directory is None or not candidate.attachment_count:
            return
        for index, entry in enumerate(candidate.envelope.attachment_list):
            name = _named(entry)
            if name is None:
                continue
            if (path := self._found(self._directory, name)) is not None:
                candidate.local_files[index] = str(path)
            else:
                self.missing += 1

    def _found(self, directory: Path, name: str) -> Path | None:
        try:
            path = (directory / name).resolve()
            # A record must not name files outside the directory.
            return path if path.is_relative_to(directory) and path.is_file() else None
        except (OSError, ValueError):  # no file system has such a name
            return None

    def upload(self, candidate: Candidate) -> dict[str, str]:
        """Upload a record's files. Returns the intents by index of the attachment."""
        assert self._client is not None
        intents = {}
        for index, path in candidate.local_files.items():
            entry = candidate.envelope.attachment_list[index]
            mime_type = None if isinstance(entry.mime_type, UnsetType) else entry.mime_type
            intents[str(index)] = self._client.upload(Path(path), mime_type=mime_type)
            with self._lock:
                self.uploaded += 1
        return intents

    def rewritten(self, candidate: Candidate, intents: dict[str, str]) -> bytes:
        """The record with its uploads. The bytes of ``data`` do not change."""
        self._describe(candidate)
        for index, intent in intents.items():
            candidate.envelope.attachment_list[int(index)].upload_intent_id = intent
        return msgspec.json.encode(candidate.envelope)

    def _describe(self, candidate: Candidate) -> None:
        """Add size, checksum and upload to the attachments that have local files."""
        entries = candidate.envelope.attachment_list
        for index, path in candidate.local_files.items():
            entry = entries[index]
            declared = self._declared(Path(path), None)
            entry.vendor_url = UNSET
            if entry.filename is UNSET:
                entry.filename = declared["filename"]
            name, sha1 = entry.filename, entry.sha1
            if isinstance(name, str) and isinstance(sha1, str) and (own := local_names.own(name, sha1)) != name:
                entry.filename = local_names.told_apart(own, {other.filename for other in entries})
            if entry.size is UNSET:
                entry.size = declared["size"]
            if entry.sha1 is UNSET:
                entry.sha1 = declared["sha1"]

    def known(self, candidate: Candidate) -> str:
        """The server's answer on known records, for a record with local files. Each upload has a new id, so ids are ignored.

        A stored record that only lacks uploads is the same record from before its files were there, so it may be sent. If the
        server has had one version only, and this is another one, it is new. Otherwise the one that differs may be newer.
        """
        assert self._client is not None
        self._describe(candidate)
        normal = normalize(msgspec.structs.replace(candidate.envelope)).envelope
        for row in rows_like(self._client, normal):
            stored = check_schema(bytes(row.record))
            if isinstance(stored, Envelope) and stored.vendor_ids == normal.vendor_ids:
                found = _compared(stored, normal, candidate)
                return UNKNOWN if found == OTHER and row.version == 1 else found
        return UNKNOWN


def _named(entry: AttachmentEntry) -> str | None:
    if entry.upload_intent_id is not UNSET:
        return None
    if isinstance(entry.vendor_url, str):
        is_file = entry.vendor_url.startswith(FILE_SCHEME)
        return unquote(entry.vendor_url.removeprefix(FILE_SCHEME)).lstrip("/") if is_file else None
    return entry.filename if isinstance(entry.filename, str) and "\0" not in entry.filename else None


def _compared(stored: Envelope, described: Envelope, candidate: Candidate) -> str:
    """Compare what the server has with what would be sent."""
    entries = stored.attachment_list
    lacking = {at for at in candidate.local_files if at < len(entries) and entries[at].upload_intent_id is UNSET}
    if lacking:
        plain = candidate.decoded().attachment_list
        wanted = [plain[at] if at in lacking else one for at, one in enumerate(described.attachment_list)]
        described = msgspec.structs.replace(described, attachments=wanted)
    if _comparable(stored) != _comparable(described):
        return OTHER
    return UNKNOWN if lacking else "current"


def _comparable(envelope: Envelope) -> bytes:
    """A normalized record without the ids of uploads."""
    copy = msgspec.structs.replace(
        envelope,
        attachments=[
            msgspec.structs.replace(one, upload_intent_id=UNSET, vendor_url=UNSET) for one in envelope.attachment_list
        ],
        project_ids=sorted(envelope.all_project_ids),
        vendor_ids=dict(sorted(envelope.vendor_ids.items())),
    )
    return msgspec.json.encode(copy)
