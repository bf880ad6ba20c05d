"""What `manage.py` runs: Django's command line, with one line for each fault of the settings instead of a traceback."""

import os
import select
import sys

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management import execute_from_command_line
from django.db import OperationalError

from evermuse import env, outages, serving
from evermuse.env import ConfigurationError

HELP = {"-h", "--help", "help", "--version"}
# What a shell reports for a process that Ctrl-C ended.
INTERRUPTED = 130


def main(words: list[str]) -> None:
    """Run a command. Exits with 1 if settings are faulty, PostgreSQL cannot be reached or nobody reads the output, and with
    130 after Ctrl-C.
    """
    try:
        try:
            _run(words)
        finally:
            # The output of a short command is still in the buffer.
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("evermuse: interrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        if not _has_lost_its_reader(sys.stdout.fileno()):
            raise
        # A reader such as `head` has what it wants. Python would fail again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run(words: list[str]) -> None:
    try:
        _refuse_other_encodings(words)
        if len(words) > 1 and not HELP & set(words):
            serving.require_settings(role=words[1])
        execute_from_command_line(words)
    except ConfigurationError as error:
        serving.exit_with(error)
    except OperationalError as error:
        if not outages.is_away(error) or "--traceback" in words:
            raise
        text = " ".join(str(error).split())
        is_direct = words[1] == "migrate" and env.is_set("DATABASE_DIRECT_URL")
        sys.exit(f"evermuse: {'DATABASE_DIRECT_URL' if is_direct else 'DATABASE_URL'}: {text}")


def by_field(error: ValidationError) -> str:
    """An error of a model in one line, with the name of each field."""
    if not hasattr(error, "error_dict"):
        return "; ".join(error.messages)
    return "; ".join(
        text if name == NON_FIELD_ERRORS else f"{name}: {text}"
        for name, texts in error.message_dict.items()
        for text in texts
    )


def _refuse_other_encodings(words: list[str]) -> None:
    """Exit if an argument is not UTF-8, because no column of PostgreSQL can hold it."""
    for number, word in enumerate(words[1:], start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            sys.exit(f"evermuse: argument {number} is not UTF-8")


def _has_lost_its_reader(output: int) -> bool:
    watched = select.poll()
    watched.register(output, 0)
    return any(found & select.POLLERR for _, found in watched.poll(0))
