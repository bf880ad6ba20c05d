"""Clients under faults: they send overlapping and unique records, log each acknowledgement, and retry as documented.

A time-out is a *maybe*: the batch may be there or not. With an Idempotency-Key the same request is sent again until it
is answered; without one a maybe stays a maybe.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.journeys.client import HttpClient
from tests.records import record

ACKNOWLEDGED, MAYBE, REFUSED = "acknowledged", "maybe", "refused"
SHARED_NAMES = 4
TIMEOUT_SECONDS = 1.5


@dataclass
class Sent:
    """One logical request. ``marker`` is in the data of every record, to find the batch by its payload."""

    marker: str
    count: int
    fate: str = MAYBE
    batch_id: str = ""


@dataclass
class Load:
    """Several clients that send until they are stopped. ``pause``: the most seconds between an answer and the next request."""

    client: HttpClient
    seed: int
    clients: int = 4
    pause: float = 0.05
    files: tuple[str, ...] = ()
    sent: list[Sent] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _give_up: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Starts the clients."""
        for number in range(self.clients):
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stops new requests; unanswered ones are repeated for a while, because the faults are healed by now."""
        self._stop.set()
        ends_at = time.monotonic() + 60
        for thread in self._threads:
            thread.join(max(ends_at - time.monotonic(), 0))
        self._give_up.set()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS * 2)

    def acknowledged(self) -> list[Sent]:
        """Returns the requests that got a 202."""
        return [one for one in self.sent if one.fate == ACKNOWLEDGED]

    def _run(self, number: int) -> None:
        rng = random.Random(self.seed * 1000 + number)
        turn = 0
        while not self._stop.is_set():
            turn += 1
            sent = Sent(f"{number}-{turn}", rng.randint(1, 12))
            self.sent.append(sent)
            # Names that all clients share for a while, so that the last version of each is decided at a different time.
            shared = [f"shared-{turn // 4}-{number}" for number in range(SHARED_NAMES)]
            body = [self._record(rng, sent.marker, position, shared) for position in range(sent.count)]
            self._send(sent, body, f"key-{sent.marker}" if rng.random() < 0.7 else None)
            time.sleep(rng.random() * self.pause)

    def _record(self, rng: random.Random, marker: str, position: int, shared: list[str]) -> dict[str, Any]:
        name = rng.choice(shared) if rng.random() < 0.4 else f"own-{marker}-{position}"
        made = record(vendor_ids={"id": name}, data={"marker": marker, "position": position})
        if self.files and rng.random() < 0.1:
            made["_attachments"] = [{"type": "file", "vendor_url": rng.choice(self.files)}]
        return made

    def _send(self, sent: Sent, body: list[dict[str, Any]], key: str | None) -> None:
        headers = {"Idempotency_Key": key} if key else {}
        while True:
            try:
                answer = self.client.post(body, timeout=TIMEOUT_SECONDS, **headers)
                status = answer.status_code
                if status == 202:
                    sent.fate, sent.batch_id = ACKNOWLEDGED, answer.json()["batchId"]
                    return
                if status not in (409, 429, 500, 503):
                    raise AssertionError(f"{status}: {answer.text}")
            except (requests.RequestException, ValueError):
                status = 0
            if key is None:
                # A 503 promises that nothing was stored; a broken connection leaves it open.
                sent.fate = REFUSED if status == 503 else MAYBE
                return
            if self._give_up.is_set():
                return
            time.sleep(0.1)
