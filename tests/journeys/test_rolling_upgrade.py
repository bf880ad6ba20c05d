"""A rolling upgrade: processes are replaced one after the other under load, and no request is refused."""

import threading
from functools import partial

import pytest
import requests

from deploy.local.processes import ProcessCommand
from tests.journeys.client import INGEST, HttpClient
from tests.journeys.rolling_proxy import RollingProxy
from tests.journeys.stack import Stack, free_port, until
from tests.journeys.trial import UNSETTLED
from tests.records import record

DRAIN_SECONDS = 3
SENDERS = 4
# Each process takes seconds to be replaced, so that many requests fall into that time.
PAUSE_SECONDS = 0.3


class Sender(threading.Thread):
    """Sends a batch a few times a second on a connection that it keeps. No request is sent a second time."""

    def __init__(self, url: str, key: str, name: str) -> None:
        super().__init__(daemon=True)
        self._url, self._key, self._source = url, key, name
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.ends = threading.Event()

    def run(self) -> None:
        session = requests.Session()
        session.headers.update({"x-api-key": self._key})
        while not self.ends.wait(PAUSE_SECONDS):
            body = [record(vendor_ids={"id": f"{self._source}-{len(self.accepted) + len(self.refused)}"})]
            try:
                answer = session.post(f"{self._url}{INGEST}", json=body, timeout=30)
            except requests.RequestException as error:
                self.refused.append(type(error).__name__)
                continue
            if answer.status_code == 202:
                self.accepted.append(answer.json()["batchId"])
            else:
                self.refused.append(f"{answer.status_code} {answer.text[:200]}")


def answered_meanwhile(senders: list[Sender]) -> None:
    """Waits until each sender has got another answer."""
    before = [len(sender.accepted) for sender in senders]
    until(
        lambda: all(len(sender.accepted) > count for sender, count in zip(senders, before, strict=True)),
        "each sender was answered",
    )


def statuses(client: HttpClient) -> dict[str, str]:
    """The status of each batch of the client's workspace."""
    return {row["batchId"]: row["status"] for row in client.pages(f"{INGEST}/batches", "batches")}


def test_processes_are_replaced_under_load_without_a_refused_request_or_a_lost_batch(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = stack.new_client()
    ports = {name: free_port() for name in ("web-a", "web-b")}
    monkeypatch.setitem(stack.environment, "EVERMUSE_DRAIN_SECONDS", str(DRAIN_SECONDS))
    for name, port in ports.items():
        words = [str(port) if word == str(stack.port) else word for word in stack.commands["web"].words]
        words[words.index("--workers") + 1] = "1"
        monkeypatch.setitem(stack.commands, name, ProcessCommand(name, words))
    stack.start(*ports)
    proxy = RollingProxy(list(ports.values()))
    senders = [Sender(proxy.url, client.key, f"s{n}") for n in range(SENDERS)]
    try:
        until(lambda: all(map(proxy.is_healthy, ports.values())), "both processes serve")
        for sender in senders:
            sender.start()
        for name in (*ports, "worker-landing", "beat"):
            stack.stop(name)
            stack.start(name)
            if name in ports:
                until(partial(proxy.is_healthy, ports[name]), f"{name} serves again")
            answered_meanwhile(senders)
    finally:
        for sender in senders:
            sender.ends.set()
        for sender in senders:
            if sender.ident:
                sender.join(60)
        proxy.close()
        stack.stop(*ports)
    assert [sender.refused for sender in senders] == [[]] * SENDERS
    accepted = {batch_id for sender in senders for batch_id in sender.accepted}
    until(lambda: stack.rows(UNSETTLED, client.workspace) == [(0,)], "all batches are settled")
    found = statuses(client)
    assert accepted == set(found), "no batch is lost, and none is doubled"
    assert set(found.values()) == {"COMPLETE"}
