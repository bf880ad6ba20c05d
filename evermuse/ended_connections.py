"""Database connections that the server or something between has ended while they were idle."""

from django.db import connections

from evermuse import prepared


def close(*aliases: str) -> None:
    """Close this thread's connections that have ended, so that the next statement opens another one instead of failing. Asks no
    server. ``aliases``: by default all.
    """
    for alias in aliases or connections:
        if not prepared.is_alive(alias):
            connections[alias].close()
