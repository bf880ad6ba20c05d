"""The files of a Slack export, in a directory or a zip file."""

import json
import posixpath
import re
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evermuse.client.convert import inputs
from evermuse.client.convert.format import UsageError
from evermuse.client.convert.tickets import text_of

_USERS = ("users.json", "org_users.json")
_LISTS = {"channels.json": "channel", "groups.json": "group", "dms.json": "dm", "mpims.json": "mpim"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}.*\.json")
_READ_BYTES = 1024 * 1024
MAX_FILE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """A message's JSON, and where it is."""

    raw: bytes
    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Channel:
    """``folder``: the directory with its messages. ``kind``: channel, group, dm or mpim."""

    id: str
    name: str
    folder: str
    kind: str


class _Files(Protocol):
    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes: ...


@dataclass(slots=True)
class Export:
    """``days``: the files of each directory, in the order of their dates. ``ignored``: files that are neither these nor lists.

    The export of an organization has directories like those of an export in ``teams/NAME/``.
    """

    path: Path
    files: _Files
    prefix: str = ""
    users: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    days: dict[str, list[str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def read(self, name: str) -> bytes:
        """A file's content, without a byte order mark."""
        return self.files.read(f"{self.prefix}{name}").removeprefix(b"\xef\xbb\xbf")


@contextmanager
def opened(path: Path) -> Iterator[Export]:
    """The export at a path. Raises UsageError if it cannot be opened."""
    if path.is_dir():
        yield _loaded(Export(path, _Directory(path)))
        return
    with tempfile.TemporaryDirectory(prefix="evermuse-convert-") as scratch:
        try:
            # A zip file is read from its end, which a pipe does not allow.
            archive = zipfile.ZipFile(path if path.is_file() else inputs.unpacked(path, Path(scratch)))
        except (zipfile.BadZipFile, OSError) as error:
            raise UsageError(f"{path}: neither a directory nor a zip file: {error}") from error
        with archive:
            yield _loaded(Export(path, _Zip(archive)))


def _loaded(export: Export) -> Export:
    names = [name for name in export.files.names() if "__MACOSX" not in name]
    roots = [posixpath.dirname(name) for name in names if posixpath.basename(name) in {*_USERS, *_LISTS}]
    if root := posixpath.commonpath(roots) if roots else "":
        export.prefix = f"{root}/"
    inside = sorted(name.removeprefix(export.prefix) for name in names if name.startswith(export.prefix))
    _find_days(export, inside)
    for name in _USERS:
        for _, user in _objects(export, name, inside):
            if id := text_of(user.get("id")):
                export.users.setdefault(id, user)
    folders = {_composed(folder): folder for folder in export.days}
    for name, kind in _LISTS.items():
        for parent, one in _objects(export, name, inside):
            if id := text_of(one.get("id")):
                title = text_of(one.get("name")) or id
                folder = folders.get(_composed(posixpath.join(parent, title)), posixpath.join(parent, id))
                export.channels.append(Channel(id, title, folder, kind))
    known = {channel.folder for channel in export.channels}
    export.channels += [
        Channel(folder, posixpath.basename(folder), folder, "channel") for folder in export.days if folder not in known
    ]
    export.channels.sort(key=lambda channel: (channel.folder, channel.id))
    return export


def _composed(name: str) -> str:
    """Some file systems of Apple store an accent as a character of its own."""
    return unicodedata.normalize("NFC", name)


def _find_days(export: Export, inside: list[str]) -> None:
    """A directory has a channel's messages if it has the file of a day, or is one of an export without teams."""
    files = [name for name in inside if posixpath.basename(name) not in {*_USERS, *_LISTS}]
    folders = {posixpath.dirname(name) for name in files if _DAY.fullmatch(posixpath.basename(name))}
    for name in files:
        folder = posixpath.dirname(name)
        if folder and (folder in folders or "/" not in folder):
            export.days.setdefault(folder, []).append(name)
        else:
            export.ignored.append(name)


def _objects(export: Export, file: str, inside: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The objects of all lists of this name, with the lists' directories.

    Raises UsageError if a list is broken, because names and roles would be missing.
    """
    objects = []
    for name in inside:
        if posixpath.basename(name) != file:
            continue
        try:
            found = json.loads(export.read(name))
        except (ValueError, OSError, RecursionError) as error:
            raise UsageError(f"{export.path}: {name} cannot be read: {error}") from error
        if isinstance(found, list):
            objects += [(posixpath.dirname(name), one) for one in found if isinstance(one, dict)]
    return objects


class _Directory:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        return [file.relative_to(self._path).as_posix() for file in self._path.rglob("*.json") if file.is_file()]

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        # Some programs for Windows write backslashes.
        self._entries = {entry.filename.replace("\\", "/"): entry for entry in archive.infolist()}

    def names(self) -> list[str]:
        return [name for name in self._entries if name.endswith(".json")]

    def read(self, name: str) -> bytes:
        """Raises OSError if the entry is broken, encrypted or too large."""
        entry = self._entries[name]
        if entry.file_size > MAX_FILE_BYTES:
            raise OSError(f"larger than {MAX_FILE_BYTES:,} bytes")
        try:
            with self._archive.open(entry) as file:
                # The archive may lie about the size. `read` without a size would unpack up to 2 GB before it notices.
                return b"".join(iter(lambda: file.read(_READ_BYTES), b""))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise OSError(str(error)) from error
