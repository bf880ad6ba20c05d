"""The arguments of the command that continues a run of `evermuse send`."""

from collections.abc import Iterable
from pathlib import Path

from evermuse.client.send.sources import Source

# Options with a value that the next call leaves out, because its records are converted already.
_OF_THIS_CALL = frozenset(
    {
        "--limit", "--rejects", "--from", "--product", "--project", "--internal-domain", "--tag", "--mapping",
        "--event-at",
    }
)  # fmt: skip


def kept_options(arguments: list[str], sources: Iterable[Source]) -> list[str]:
    """The options of this call, for the next one: without the command, the paths, and what belongs to them."""
    paths = {str(source.argument) for source in sources}
    kept: list[str] = []
    skip = 0
    for word in arguments[1:]:
        if skip:
            skip -= 1
        elif word in _OF_THIS_CALL:
            skip = 1
        elif word.partition("=")[0] in _OF_THIS_CALL or word == "--overwrite" or str(Path(word)) in paths:
            continue
        else:
            kept.append(word)
    return kept
