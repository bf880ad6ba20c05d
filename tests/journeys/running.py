"""One stack for all journeys. Each test uses a new workspace and leaves the stack working."""

import os
from collections.abc import Iterator

import pytest

from deploy import docs
from deploy.local.embedded import Servers
from tests.distribution import group
from tests.journeys.stack import NAMES, Stack, until
from tests.parts import chosen
from tests.servers import ROOT

_started: list[Stack] = []
# The last one that used it.
_last_group: list[str] = []


def follow(item: pytest.Item) -> None:
    """Stops the stack's processes when one of several processes of tests comes to a group that does not use them.

    At rest they take a twentieth of a core, and most groups come after those that need them.
    """
    is_needed = "running_stack" in getattr(item, "fixturenames", ())
    if is_needed:
        _last_group[:] = [group(item.nodeid)]
    if not _started or "PYTEST_XDIST_WORKER" not in os.environ:
        return
    stack = _started[0]
    if is_needed and not stack.children:
        stack.start(*NAMES)
        until(stack.is_up, "the stack is up again")
    elif group(item.nodeid) not in _last_group:
        stack.stop(*stack.children)


@pytest.fixture(scope="session")
def running_stack(servers: Servers, django_db_setup: None) -> Iterator[Stack]:
    """The stack, started once per run. Its database is a copy of the migrated one."""
    if fault := chosen.fault():
        pytest.skip(fault)
    docs.build()  # web reads the list of pages at its start
    stack = Stack(servers, ROOT / "journeys")
    stack.start(*NAMES)
    until(stack.is_up, "the stack is up")
    _started.append(stack)
    yield stack
    _started.clear()
    stack.stop_all()


@pytest.fixture
def stack(running_stack: Stack) -> Iterator[Stack]:
    """The stack with all of its processes; those that a test stopped are started again."""
    yield running_stack
    running_stack.start(*(name for name in NAMES if name not in running_stack.children))
    until(running_stack.is_up, "the stack is up again")
