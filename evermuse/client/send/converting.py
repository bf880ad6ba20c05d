"""`evermuse send --from FORMAT`: converts the sources before they are sent."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from evermuse.client.convert import FORMATS, ConvertOptions, RejectWriter
from evermuse.client.send.rejects import beside
from evermuse.client.send.sources import NothingToRead, Source


def find(paths: Sequence[Path]) -> list[Source]:
    """The sources of a conversion. A directory is one source, because it holds one mailbox or one export."""
    for path in paths:
        if str(path) != "-" and not path.exists():
            raise NothingToRead(f"{path}: there is no such file or directory")
    return [Source(path, path, path.stat().st_size if path.is_file() else 0) for path in dict.fromkeys(paths)]


class Conversion:
    """Converts sources, and counts the items that could not be converted. ``name``: the format's."""

    def __init__(self, name: str, options: ConvertOptions) -> None:
        self._format, self._options = FORMATS[name], options
        self.unconverted = 0
        self.files: list[Path] = []

    def __call__(self, source: Source) -> Iterator[bytes]:
        """The records of a source. Each call writes the file of rejects from the beginning."""
        with RejectWriter(beside(source.argument, "unconverted")) as rejects:
            yield from self._format.convert([source.path], options=self._options, rejects=rejects)
            self.unconverted += rejects.failed
            if rejects.rejected and rejects.path is not None:
                self.files.append(rejects.path)
