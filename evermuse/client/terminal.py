"""Options, exit codes and error output that all commands share."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import httpx
import typer
from rich.console import Console

from evermuse.client import profiles
from evermuse.client.blocking import Client
from evermuse.client.errors import EvermuseError
from evermuse.client.retry import Retries

P = ParamSpec("P")
T = TypeVar("T")

ACCEPTED, SOME_REJECTED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="Files or directories; - is the input.")]
Profile = Annotated[str | None, typer.Option(help="A profile that evermuse login made.", envvar="EVERMUSE_PROFILE")]
Url = Annotated[str | None, typer.Option(help="The server's address, instead of the profile's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Patience = Annotated[
    float, typer.Option(min=0, help="Seconds for which requests are retried while the server is unreachable.")
]

errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
output = Console(highlight=False, markup=False, soft_wrap=True)


def fail(message: str, code: int) -> typer.Exit:
    """Print an error, and return the exit to raise."""
    errors.print(f"error: {message}")
    return typer.Exit(code)


def refuse_overwriting(option: str, target: Path, inputs: Iterable[Path | None]) -> None:
    """End the command if it would write over a file that it reads."""
    if target.is_file() and any(path is not None and path.is_file() and path.samefile(target) for path in inputs):
        raise fail(f"{option} {target}: this file is read by the same command", USAGE)


def connect(profile: str | None, url: str | None, patience: float = 60.0) -> Client:
    """A client for a command. Ends the command if no server is named."""
    try:
        login = profiles.resolve(profile, url)
    except profiles.NoKey as error:
        raise fail(str(error), USAGE) from None
    return client_of(login, patience)


def client_of(login: profiles.Login, patience: float) -> Client:
    """A client for a login. Ends the command if the login, a proxy or a certificate file cannot be used."""
    try:
        return Client(login.url, login.key, retries=Retries(patience=patience))
    except (ValueError, ImportError) as error:
        raise fail(str(error), USAGE) from None
    except httpx.InvalidURL as error:
        message = f"the server's address or a proxy in the environment (HTTP_PROXY, NO_PROXY …) is wrong: {error}"
        raise fail(message, USAGE) from None
    except OSError as error:
        raise fail(f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names: {error}", USAGE) from None


@contextmanager
def reported() -> Iterator[None]:
    """Print an error as one line, and exit with the code for its kind."""
    try:
        yield
    except EvermuseError as error:
        raise fail(str(error), REFUSED) from None
    except BrokenPipeError:
        raise typer.Exit(REFUSED) from None


def interruptible(command: Callable[P, T]) -> Callable[P, T]:
    """Exit with INTERRUPTED after Ctrl-C, SIGTERM, SIGHUP, or the end of input at a prompt. Typer would exit with 1.

    SIGTERM and SIGHUP (a closed terminal) alone would end the process at once: temporary files, perhaps of gigabytes, would
    stay, and acknowledged batches would not be recorded. After nohup, SIGHUP stays ignored.
    Names of files may have any bytes. An id or filter that is not UTF-8 is wrong usage.
    """

    @wraps(command)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, signal.default_int_handler)
        try:
            return command(*args, **kwargs)
        except (KeyboardInterrupt, typer.Abort):
            raise fail("interrupted", INTERRUPTED) from None
        except UnicodeEncodeError:
            if all(map(_is_utf8, sys.argv)):
                raise
            raise fail("an argument is not UTF-8", USAGE) from None

    return called


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def command_line(*words: str) -> str:
    """A command to paste. It calls the program the same way as the current command did."""
    program = sys.argv[0]
    start = [sys.executable, "-m", "evermuse.client"] if program.endswith("__main__.py") else ["evermuse"]
    parts = [*start, *words]
    return subprocess.list2cmdline(parts) if sys.platform == "win32" else shlex.join(parts)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def write_line(line: bytes) -> None:
    """One line of NDJSON, byte for byte."""
    sys.stdout.buffer.write(line + b"\n")
