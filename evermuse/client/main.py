"""The command `evermuse`."""

import gc
import io
import os
import sys
from importlib import import_module
from typing import Any

# `terminal.REFUSED` and `terminal.INTERRUPTED`, which are imported with the sub-commands.
_REFUSED, _INTERRUPTED = 3, 4


def main() -> None:
    """The entry point of the installed command."""
    _open_closed_files()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A name that the console or the pipe cannot show must not end a run. Pipes of Windows rarely take all characters.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            _commands()()
        finally:
            # Python would report an error of this only after the exit code is settled.
            sys.stdout.flush()
    except KeyboardInterrupt:
        _end("interrupted", _INTERRUPTED)
    except BrokenPipeError:
        _end("", _REFUSED)
    except OSError as error:
        # Mostly a full disk, or an output that takes no more.
        _end(str(error), _REFUSED)


def _commands() -> Any:
    """The sub-commands. Imported without garbage collections, which would take a quarter of the time and free nothing."""
    gc.disable()
    app = import_module("evermuse.client.commands").app
    gc.freeze()
    gc.enable()
    return app


def _open_closed_files() -> None:
    """Occupy the numbers of closed standard files, or the next files would get them. Writing to them fails."""
    while (number := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(number)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _end(message: str, code: int) -> None:
    """Exit with an error. Python flushes when it exits, and must not report the same error again."""
    try:
        sys.stderr.write(f"error: {message}\n" if message else "")
        sys.stderr.flush()
    except OSError:
        pass
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    sys.exit(code)
