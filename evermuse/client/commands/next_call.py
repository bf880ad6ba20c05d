"""The command that continues, printed at the end of a call."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evermuse.client import terminal
from evermuse.client.send.running import Run
from evermuse.client.send.sources import Source
from evermuse.client.send.waiting import Settled

# Options with a value that the next call leaves out, because its records are converted already.
_OF_THIS_CALL = frozenset(
    {
        "--limit", "--rejects", "--from", "--product", "--project", "--internal-domain", "--tag", "--mapping",
        "--event-at",
    }
)  # fmt: skip
# Options with a value that the next call keeps. The value may be one of the paths too.
_OF_EVERY_CALL = frozenset({"--attach", "--state-dir", "--concurrency", "--patience", "--profile", "--url"})
_OF_THE_SERVER = frozenset({"--profile", "--url"})


@dataclass(frozen=True, slots=True)
class NextCall:
    """``invitation``: the line above the command."""

    invitation: str
    command: str


def after_end(
    ended: int | None,
    run: Run | None,
    sources: Iterable[Source],
    settled: Settled | None,
    arguments: list[str],
    unconverted: Sequence[Path] = (),
) -> NextCall | None:
    """The command to go on with after a run of `evermuse send`, or None if nothing is left to do.

    ``ended``: the exit code of a run that did not come to its end. ``arguments``: of the call, with the command's name.
    ``unconverted``: files with the items that could not be converted.
    """
    if ended is not None:
        return NextCall(_INVITATIONS[ended], _same_call(sources, arguments))
    assert run is not None
    if files := run.outcomes.reject_files:
        command = _send(files, kept_options(arguments, sources))
        return NextCall("Fix the records in the file if needed, and continue with:", command)
    if run.reader.unreadable:
        return NextCall("Replace the incomplete files, and continue with:", _same_call(sources, arguments))
    if settled is not None and not settled.is_sound:
        return _about_batch(settled, server_options(arguments))
    if unconverted:
        names = ", ".join(map(str, unconverted))
        invitation = f"{names} has the place of each item that was not converted. Repair the source, and continue with:"
        return NextCall(invitation, _same_call(sources, arguments))
    totals = run.journal.totals
    if (files := run.outcomes.replaced_files) and (totals.replaced or totals.held):
        command = _send(files, [*kept_options(arguments, sources), "--overwrite"])
        return NextCall("If the server shall have these versions again, send them with:", command)
    return None


_INVITATIONS = {
    terminal.REFUSED: "Nothing is lost. Continue with:",
    terminal.INTERRUPTED: "Interrupted. Continue with:",
    terminal.USAGE: "Correct the command:",
}


def _same_call(sources: Iterable[Source], arguments: list[str]) -> str:
    command = terminal.command_line(*arguments)
    return f"… | {command}" if any(source.is_stdin for source in sources) else command


def _send(files: Iterable[Path], options: list[str]) -> str:
    """A path that begins with a hyphen would be read as an option."""
    paths = (f"./{path}" if str(path).startswith("-") else str(path) for path in files)
    return terminal.command_line("send", *paths, *options)


def _about_batch(settled: Settled, options: list[str]) -> NextCall:
    if broken := [*settled.failed, *settled.with_failed_files]:
        return NextCall("Retry what failed with:", terminal.command_line("retry", broken[0], *options))
    command = terminal.command_line("errors", next(iter(settled.late_rejections)), *options)
    return NextCall("Look at the records that were rejected later with:", command)


def kept_options(arguments: list[str], sources: Iterable[Source]) -> list[str]:
    """The options of this call, for the next one: without the command, the paths, and what belongs to them."""
    paths = {str(source.argument) for source in sources}
    kept: list[str] = []
    words = iter(arguments[1:])
    for word in words:
        if word in _OF_THIS_CALL:
            next(words, None)
        elif word in _OF_EVERY_CALL:
            kept += [word, *_value(words)]
        elif word.partition("=")[0] not in _OF_THIS_CALL | {"--overwrite", "--"} and str(Path(word)) not in paths:
            kept.append(word)
    return kept


def server_options(arguments: list[str]) -> list[str]:
    """The options that tell which server a call asks, for a call of another command."""
    found: list[str] = []
    words = iter(arguments[1:])
    for word in words:
        if word in _OF_THE_SERVER:
            found += [word, *_value(words)]
        elif word.partition("=")[0] in _OF_THE_SERVER:
            found.append(word)
    return found


def _value(words: Iterator[str]) -> list[str]:
    value = next(words, None)
    return [] if value is None else [value]
