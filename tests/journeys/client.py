"""The API over real HTTP, as clients use it; and raw sockets for requests that no library would send."""

import json
import socket
import time
from typing import Any

import requests

INGEST = "/api/v1/ingest"
SETTLED = {"COMPLETE", "FAILED"}


class HttpClient:
    """Sends requests with one key."""

    def __init__(self, url: str, key: str, workspace: str) -> None:
        self.url, self.key, self.workspace = url, key, workspace
        self.port = int(url.rpartition(":")[2])
        self.headers = {"x-api-key": key}

    def post(
        self,
        body: Any,
        *,
        path: str = INGEST,
        content_type: str = "application/json",
        timeout: float = 60.0,
        **headers: str,
    ) -> requests.Response:
        """Posts bytes as they are (an iterable of bytes as chunks), and anything else as JSON."""
        content = json.dumps(body) if isinstance(body, dict | list) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(
            f"{self.url}{path}",
            data=content,
            headers={**self.headers, "Content-Type": content_type, **named},
            timeout=timeout,
        )

    def get(self, path: str, **query: Any) -> requests.Response:
        """Sends a GET request with the key."""
        return requests.get(f"{self.url}{path}", params=query, headers=self.headers, timeout=60)

    def send(self, body: Any, **options: Any) -> str:
        """Posts a batch that must be accepted; returns its id."""
        answer = self.post(body, **options)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["batchId"])

    def limit(self, seconds: float) -> float:
        """Returns a time-out, in seconds, that fails a request if it is delayed by ``seconds``.

        Call it while nothing delays requests. It measures them, because on a loaded machine each one takes seconds.
        """
        usual = [self.get(f"{INGEST}/batches", limit=n).elapsed.total_seconds() for n in range(1, 9)]
        return seconds + 3 * max(usual)

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Returns the status of a batch."""
        answer = self.get(f"{INGEST}/batches/{batch_id}")
        assert answer.status_code == 200, answer.text
        status: dict[str, Any] = answer.json()
        return status

    def settled(self, batch_id: str, *, seconds: float = 300.0) -> dict[str, Any]:
        """Waits until a batch is COMPLETE or FAILED; returns its status."""
        ends_at = time.monotonic() + seconds
        while (batch := self.batch(batch_id))["status"] not in SETTLED:
            assert time.monotonic() < ends_at, batch
            time.sleep(0.1)
        return batch

    def pages(self, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
        """Returns all rows of a list, from all pages."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.get(path, limit=100, **query, **cursor)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page[name]
            if page["nextCursor"] is None:
                return found
            cursor = {"cursor": page["nextCursor"]}

    def batch_ids(self) -> list[str]:
        """Returns the ids of all batches of the workspace, newest first."""
        return [row["batchId"] for row in self.pages(f"{INGEST}/batches", "batches")]

    def records(self, **filters: Any) -> list[dict[str, Any]]:
        """Returns the workspace's records as the API lists them."""
        return self.pages("/api/v1/records", "records", **filters)

    def outcomes(self, batch_id: str) -> list[str]:
        """Returns the outcome of each record of a batch."""
        return [row["outcome"] for row in self.pages(f"{INGEST}/batches/{batch_id}/records", "records")]

    def opening(self, *lines: str, content_type: str = "application/json") -> bytes:
        """Returns the head of a POST, for `raw`."""
        head = [
            f"POST {INGEST} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"x-api-key: {self.key}",
            f"Content-Type: {content_type}", *lines,
        ]  # fmt: skip
        return ("\r\n".join(head) + "\r\n\r\n").encode()

    def raw(self) -> socket.socket:
        """Opens a connection for raw bytes."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def answer_of(connection: socket.socket) -> bytes:
    """Returns what a server sends until it closes the connection, or until the announced length is complete."""
    got = b""
    while True:
        head, separator, body = got.partition(b"\r\n\r\n")
        if separator:
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if lengths and len(body) >= int(lengths[0].split(b":")[1]):
                return got
        try:
            part = connection.recv(65536)
        except ConnectionError:
            return got
        if not part:
            return got
        got += part
