"""Maintenance in a worker of its own, as Compose and the chart run it."""

import re
from collections.abc import Iterator

import pytest
import requests

from deploy.local.processes import commands_apart
from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack, until
from tests.records import record

LANDING, MAINTENANCE = "worker-landing", "worker-maintenance"


@pytest.fixture
def apart(running_stack: Stack) -> Iterator[Stack]:
    """The stack with a landing worker that reads its own queue alone, and no maintenance worker yet."""
    stack, before = running_stack, dict(running_stack.commands)
    stack.stop(LANDING)
    stack.commands |= {
        one.name: one
        for one in commands_apart(web_port=stack.port, flower_port=0, run=str(stack.root))
        if one.name in (LANDING, MAINTENANCE)
    }
    stack.start(LANDING)
    try:
        yield stack
    finally:
        stack.stop(*({LANDING, MAINTENANCE} & stack.children.keys()))
        stack.commands = before
        stack.start(LANDING)


def seen(stack: Stack) -> dict[str, int]:
    text = requests.get(f"{stack.url}/metrics", timeout=10).text
    return {kind: int(float(n)) for kind, n in re.findall(r'^evermuse_workers\{kind="(\w+)"\} (\S+)$', text, re.M)}


def test_worker_is_counted_for_every_queue_that_it_reads(running_stack: Stack) -> None:
    until(lambda: seen(running_stack) == {"landing": 1, "attachments": 1, "maintenance": 1}, "all queues have a worker")


def test_missing_maintenance_worker_is_seen_while_batches_land(apart: Stack, client: HttpClient) -> None:
    until(lambda: seen(apart) == {"landing": 1, "attachments": 1, "maintenance": 0}, "maintenance has no worker")
    assert client.settled(client.send({"records": [record()]}))["status"] == "COMPLETE"
    rolled_up = "SELECT ran_at FROM activity_rollupstate"
    before = apart.rows(rolled_up)
    apart.start(MAINTENANCE)
    until(lambda: seen(apart) == {"landing": 1, "attachments": 1, "maintenance": 1}, "all queues have a worker")
    until(lambda: apart.rows(rolled_up) > before, "the rollup has run")
