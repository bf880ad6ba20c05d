"""What `manage.py` runs: Django's command line, with one line for each fault of the settings instead of a traceback."""

import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from evermuse import env, serving
from evermuse.env import ConfigurationError

# What psycopg's errors begin with if no connection was made.
NO_CONNECTION = ("connection failed", "connection timeout", "failed to resolve host", "[Errno")
HELP = {"-h", "--help", "help", "--version"}


def main(words: list[str]) -> None:
    """Run a command. Exits with 1 if settings are faulty or PostgreSQL cannot be reached."""
    try:
        if len(words) > 1 and not HELP & set(words):
            serving.require_settings(role=words[1])
        execute_from_command_line(words)
    except ConfigurationError as error:
        serving.exit_with(error)
    except OperationalError as error:
        text = " ".join(str(error).split())
        if not text.startswith(NO_CONNECTION) or "--traceback" in words:
            raise
        is_direct = words[1] == "migrate" and env.is_set("DATABASE_DIRECT_URL")
        sys.exit(f"evermuse: {'DATABASE_DIRECT_URL' if is_direct else 'DATABASE_URL'}: {text}")
