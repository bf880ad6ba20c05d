"""CSV: one record for each row, by a mapping file. Any dialect and encoding, with line breaks inside cells."""

import codecs
import csv
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evermuse.client.convert import csv_mapping, inputs
from evermuse.client.convert.csv_mapping import ROLES, TYPES, Mapped, entries_of, moment_of, text_from
from evermuse.client.convert.decoding import known_codec, unmarked_utf16
from evermuse.client.convert.format import ConvertOptions, NotConvertible, UsageError, reason_of
from evermuse.client.convert.people import People
from evermuse.client.convert.records import MAX_RECORD_BYTES, record_line
from evermuse.client.convert.rejects import RejectWriter
from evermuse.client.convert.tickets import attachment

# Excel's own first line.
_EXCEL_DELIMITER = re.compile(rb"(?i:\"?sep=)([\x09\x20-\x7e])\"?\r?\n")
_COPY_CHARACTERS = 1024 * 1024
MORE_CELLS = 'cells beyond the header: in data as "column N"'


class Csv:
    """Converts rows."""

    def convert(self, paths: Sequence[Path], *, options: ConvertOptions, rejects: RejectWriter) -> Iterator[bytes]:
        """One record for each row that is not blank. Only rows that cannot be converted are rejected."""
        inputs.check_readable(paths)
        mapped, given = csv_mapping.loaded(options.mapping), options.instant
        if not mapped.event_at and given is None:
            raise UsageError(f"{options.mapping}: event_at is needed, or --event-at for rows without a date")
        zone = csv_mapping.zone_of(mapped)
        with tempfile.TemporaryDirectory(prefix="evermuse-convert-") as folder:
            for path in paths:
                for file in inputs.files_under(path, suffixes=(".csv", ".tsv", ".txt", ".gz")):
                    source = _in_utf8(inputs.unpacked(file, Path(folder)), mapped, Path(folder))
                    for offset, row in _Rows(source, mapped, file):
                        rejects.read += 1
                        if isinstance(row, str):
                            rejects.reject(file=str(file), offset=offset, reason=row)
                            continue
                        try:
                            event_at = moment_of(mapped, row, zone, given)
                            if event_at is None:
                                raise NotConvertible("event_at: the row has no date that can be read")
                            line = record_line(options, event_at=event_at, **_fields(mapped, row, options))  # type: ignore[arg-type]
                        except Exception as error:
                            rejects.reject(file=str(file), offset=offset, reason=reason_of(error))
                            continue
                        if mapped.has_header and any(name.startswith("column ") for name in row):
                            rejects.note(MORE_CELLS)
                        rejects.converted += 1
                        yield line


def _fields(mapped: Mapped, row: dict[str, str], options: ConvertOptions) -> dict[str, object]:
    """The arguments of the record. Raises NotConvertible."""
    ids = {name: text for name, source in mapped.vendor_ids.items() if (text := text_from(source, row))}
    if not ids:
        raise NotConvertible(f"vendor_ids: the row has no text for {', '.join(mapped.vendor_ids)}")
    people = People(options.internal_domains)
    for one in entries_of(mapped.participants, row):
        role, type = one.pop("role").lower(), one.pop("type").lower()
        people.add(**one, role=role if role in ROLES else "", type=type if type in TYPES else "")
    files = [
        attachment(
            filename=one["filename"],
            url=one["vendor_url"],
            mime=one["mime_type"],
            size=int(one["size"]) if one["size"].isdecimal() and len(one["size"]) < 19 else None,
        )
        for one in entries_of(mapped.attachments, row)
    ]
    texts = [text_from(source, row) for source in mapped.tags]
    separator = mapped.tag_separator
    return {
        "type": text_from(mapped.type, row),
        "vendor_ids": ids,
        "thread_id": text_from(mapped.thread_id, row),
        "participants": people.entries,
        "attachments": files,
        "tags": [tag for text in texts for tag in (text.split(separator) if separator else [text])],
        "data": row,
    }


class _Rows:
    """The rows of a file, each with the offset of its first byte: cells by column, or the reason why it cannot be read."""

    def __init__(self, path: Path, mapped: Mapped, shown: Path) -> None:
        self._path, self._mapped, self._shown = path, mapped, shown
        self._offset = 0
        self._dialect = _dialect_of(path, mapped)

    def __iter__(self) -> Iterator[tuple[int, dict[str, str] | str]]:
        csv.field_size_limit(2 * MAX_RECORD_BYTES)
        self._offset = self._dialect.start
        header = self._header(self._reader(is_strict=False)) if self._mapped.has_header else []
        reader = self._reader()
        while True:
            start, line = self._offset, reader.line_num
            try:
                cells = next(reader, None)
            except csv.Error as error:
                # The next line may begin a row of its own.
                text = self._after_line(start)
                cells = None if reader.line_num > line + 1 else self._leniently(text)
                reader = self._reader()
                if cells is None:
                    yield start, f"the row cannot be read, perhaps because a quote is not closed: {error}"
                    continue
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                names = header[: len(cells)] + [f"column {number + 1}" for number in range(len(header), len(cells))]
                yield start, dict(zip(names, cells, strict=True))

    def _reader(self, lines: Iterable[str] | None = None, *, is_strict: bool = True) -> Any:
        """A reader from the current offset on, or of some lines."""
        return csv.reader(
            self._lines(self._offset) if lines is None else lines,
            delimiter=self._dialect.delimiter,
            quotechar=self._mapped.quotechar,
            escapechar=self._mapped.escapechar or None,
            skipinitialspace=self._dialect.has_spaces,
            strict=is_strict,
        )

    def _lines(self, start: int) -> Iterator[str]:
        with self._path.open("rb") as file:
            file.seek(start)
            for line in file:
                self._offset += len(line)
                yield line.decode("utf-8", "replace")

    def _after_line(self, start: int) -> str:
        """The line at an offset. The next reader begins after it."""
        with self._path.open("rb") as file:
            file.seek(start)
            line = file.readline()
        self._offset = start + len(line)
        return line.decode("utf-8", "replace")

    def _leniently(self, line: str) -> list[str] | None:
        """The cells of a line with quotes inside of cells, or None if it cannot be read."""
        try:
            found: list[str] | None = next(self._reader([line], is_strict=False), None)
            return found
        except csv.Error:
            return None

    def _header(self, reader: Iterator[list[str]]) -> list[str]:
        """The names of the columns. A repeated name gets a number. Raises UsageError if a mapped column is missing."""
        try:
            given = next((cells for cells in reader if any(cell.strip() for cell in cells)), [])
        except csv.Error as error:
            raise UsageError(f"{self._shown}: the header cannot be read: {error}") from error
        names: list[str] = []
        for number, cell in enumerate(given, 1):
            name = cell.strip() or f"column {number}"
            while name in names:
                name = f"{name} ({number})"
            names.append(name)
        if given and (missing := sorted(self._mapped.columns() - set(names))):
            raise UsageError(f"{self._shown}: no column {', '.join(missing)}; there are {', '.join(names)[:1000]}")
        return names


@dataclass(frozen=True, slots=True)
class _Dialect:
    """``start``: the offset of the first row. ``has_spaces``: whether spaces follow the delimiters."""

    start: int
    delimiter: str
    has_spaces: bool


def _dialect_of(path: Path, mapped: Mapped) -> _Dialect:
    """The dialect, by the first line. The delimiter is the most frequent candidate outside quotes, unless the mapping has one."""
    with path.open("rb") as file:
        head = file.readline(65536)
        start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        named = _EXCEL_DELIMITER.fullmatch(head, start)
        if named is not None:
            head, start = file.readline(65536), len(head)
    outside = "".join(head.decode("utf-8", "replace").split(mapped.quotechar)[::2])
    found = mapped.delimiter or (named[1].decode() if named else max(",;\t|", key=outside.count))
    return _Dialect(start, found, 0 < outside.count(found) == outside.count(f"{found} "))


def _in_utf8(path: Path, mapped: Mapped, scratch: Path) -> Path:
    """The file, or a copy of it in UTF-8. Without a declared encoding: by its byte order mark or zero bytes, UTF-8, or Windows-1252."""
    codec = known_codec(mapped.encoding) if mapped.encoding else None
    if mapped.encoding and codec is None:
        raise UsageError(f"encoding: {mapped.encoding} is not known")
    with path.open("rb") as file:
        head = file.read(65536)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf-16"
    elif codec is None:
        codec = unmarked_utf16(head)
    is_old_macintosh = b"\r" in head and b"\n" not in head
    if codec is None:
        codec = "utf-8" if _is_utf8(path) else "cp1252"
    if codec == "utf-8" and not is_old_macintosh:
        return path
    target = scratch / f"{path.name}.utf-8"
    newline = None if is_old_macintosh else ""
    with (
        path.open(encoding=codec, errors="replace", newline=newline) as text,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        while block := text.read(_COPY_CHARACTERS):
            copy.write(block)
    return target


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(_COPY_CHARACTERS):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


CSV = Csv()
