"""The client of Evermuse Ingest: the command `evermuse`, and this library. It needs neither Django nor Celery.

    from evermuse.client import Client

    with Client("http://127.0.0.1:8000", key) as client:
        answer = client.send(records)
        client.wait(answer.batch_id)

`AsyncClient` offers the same calls for asyncio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evermuse.client.answers import (
        Accepted,
        Attachment,
        Batch,
        Checked,
        FieldError,
        Key,
        Outcome,
        Page,
        RecordError,
        Rejection,
        Removal,
        StoredRecord,
    )
    from evermuse.client.asynchronous import AsyncClient
    from evermuse.client.blocking import Client
    from evermuse.client.errors import ApiError, EvermuseError, Unreachable
    from evermuse.client.retry import Retries

__all__ = [
    "Accepted",
    "ApiError",
    "AsyncClient",
    "Attachment",
    "Batch",
    "Checked",
    "Client",
    "EvermuseError",
    "FieldError",
    "Key",
    "Outcome",
    "Page",
    "RecordError",
    "Rejection",
    "Removal",
    "Retries",
    "StoredRecord",
    "Unreachable",
]

_MODULES = {
    "ApiError": "errors",
    "AsyncClient": "asynchronous",
    "Client": "blocking",
    "EvermuseError": "errors",
    "Retries": "retry",
    "Unreachable": "errors",
}


def __getattr__(name: str) -> Any:
    """Import a class when it is first used, so that the command `evermuse` decides what it imports, and how."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'answers')}"), name)
