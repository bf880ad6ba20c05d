"""The files of a Slack export, in a directory or a zip file."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from evermuse.client.convert.format import UsageError
from evermuse.client.convert.tickets import text_of

_LISTS = {"channels.json": "channel", "groups.json": "group", "dms.json": "dm", "mpims.json": "mpim"}
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
    """``days``: the files of each directory, in the order of their dates."""

    path: Path
    files: _Files
    prefix: str = ""
    users: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    days: dict[str, list[str]] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        """A file's content, without a byte order mark."""
        return self.files.read(f"{self.prefix}{name}").removeprefix(b"\xef\xbb\xbf")


@contextmanager
def opened(path: Path) -> Iterator[Export]:
    """The export at a path. Raises UsageError if it cannot be opened."""
    if path.is_dir():
        yield _loaded(Export(path, _Directory(path)))
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(f"{path}: neither a directory nor a zip file: {error}") from error
    with archive:
        yield _loaded(Export(path, _Zip(archive)))


def _loaded(export: Export) -> Export:
    names = [name for name in export.files.names() if "__MACOSX" not in name]
    roots = sorted(
        (str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name in {"users.json", *_LISTS}),
        key=len,
    )
    export.prefix = "" if not roots or roots[0] == "." else f"{roots[0]}/"
    inside = sorted(name.removeprefix(export.prefix) for name in names if name.startswith(export.prefix))
    for name in inside:
        folder, _, file = name.rpartition("/")
        if folder and "/" not in folder and file.endswith(".json"):
            export.days.setdefault(folder, []).append(name)
    for user in _objects(export, "users.json", inside):
        if id := text_of(user.get("id")):
            export.users[id] = user
    for name, kind in _LISTS.items():
        for one in _objects(export, name, inside):
            id = text_of(one.get("id"))
            title = text_of(one.get("name")) or id
            folder = title if title in export.days else id
            if id:
                export.channels.append(Channel(id, title, folder, kind))
    known = {channel.folder for channel in export.channels}
    export.channels += [Channel(folder, folder, folder, "channel") for folder in export.days if folder not in known]
    export.channels.sort(key=lambda channel: (channel.folder, channel.id))
    return export


def _objects(export: Export, name: str, inside: list[str]) -> list[dict[str, Any]]:
    """The objects of a list. Raises UsageError if the file is broken, because names and roles would be missing."""
    if name not in inside:
        return []
    try:
        found = json.loads(export.read(name))
    except (ValueError, OSError, RecursionError) as error:
        raise UsageError(f"{export.path}: {name} cannot be read: {error}") from error
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


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

    def names(self) -> list[str]:
        return [name for name in self._archive.namelist() if name.endswith(".json")]

    def read(self, name: str) -> bytes:
        """Raises OSError if the entry is broken, encrypted or too large."""
        if self._archive.getinfo(name).file_size > MAX_FILE_BYTES:
            raise OSError(f"larger than {MAX_FILE_BYTES:,} bytes")
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise OSError(str(error)) from error
