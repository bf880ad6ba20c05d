"""The API as a client uses it, in the test's process: Django's test client with a key."""

import gzip
import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

INGEST = "/api/v1/ingest"
JSON, NDJSON = "application/json", "application/x-ndjson"


class ApiClient:
    """Sends requests with one key."""

    def __init__(self, client: Client, key: str) -> None:
        self.client, self.key = client, key
        client.raise_request_exception = False

    def get(self, path: str, query: str = "", **headers: str) -> Any:
        """Sends a GET request with the key."""
        return self.client.get(f"{path}?{query}" if query else path, headers={"x-api-key": self.key, **headers})

    def post(
        self, body: bytes | object, *, path: str = INGEST, query: str = "", content_type: str = JSON, **headers: str
    ) -> Any:
        """Posts bytes as they are, and anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(
            f"{path}?{query}" if query else path,
            data=content,
            content_type=content_type,
            headers={
                "x-api-key": self.key,
                # With an empty body, Django's client omits these two unless they are given as headers.
                "content-type": content_type,
                "content-length": str(len(content)),
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Returns the status of a batch."""
        answer: dict[str, Any] = self.get(f"{INGEST}/batches/{batch_id}").json()
        return answer

    def rows(self, batch_id: str, what: str) -> list[dict[str, Any]]:
        """Returns all rows of one of a batch's lists, from all pages."""
        path = f"{INGEST}/batches/{batch_id}/{what}"
        found: list[dict[str, Any]] = []
        query = "limit=100"
        while True:
            page = self.get(path, query).json()
            found += page[what]
            if page["nextCursor"] is None:
                return found
            query = f"limit=100&cursor={page['nextCursor']}"


def lines(response: HttpResponse) -> list[bytes]:
    """Returns the lines of a streamed answer."""
    content = b"".join(response.streaming_content)  # type: ignore[attr-defined]
    return content.split(b"\n")[:-1]


def gzipped(content: bytes) -> bytes:
    """Compresses bytes into one gzip member."""
    return gzip.compress(content, mtime=0)
