"""The client of Evermuse Ingest: the command `evermuse`, and this library. It needs neither Django nor Celery.

    from evermuse.client import Client

    with Client("http://127.0.0.1:8000", key) as client:
        answer = client.send(records)
        client.wait(answer.batch_id)

`AsyncClient` offers the same calls for asyncio.
"""

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
