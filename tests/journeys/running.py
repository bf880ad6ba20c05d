"""One stack for all journeys. Each test uses a new workspace and leaves the stack working."""

from collections.abc import Iterator

import pytest

from deploy import docs
from deploy.local.embedded import Servers
from tests.journeys.stack import NAMES, Stack, until
from tests.parts import chosen
from tests.servers import ROOT


@pytest.fixture(scope="session")
def running_stack(servers: Servers, django_db_setup: None) -> Iterator[Stack]:
    """The stack, started once per run. Its database is a copy of the migrated one."""
    if fault := chosen.fault():
        pytest.skip(fault)
    docs.build()  # web reads the list of pages at its start
    stack = Stack(servers, ROOT / "journeys")
    stack.start(*NAMES)
    until(stack.is_up, "the stack is up")
    yield stack
    stack.stop_all()


@pytest.fixture
def stack(running_stack: Stack) -> Iterator[Stack]:
    """The stack with all of its processes; those that a test stopped are started again."""
    yield running_stack
    running_stack.start(*(name for name in NAMES if name not in running_stack.children))
    until(running_stack.is_up, "the stack is up again")
