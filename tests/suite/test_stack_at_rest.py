"""The shared stack does not run beside tests that do not use it."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.journeys import running
from tests.journeys.stack import NAMES


class Stack:
    """Only what `running.follow` uses."""

    def __init__(self) -> None:
        self.children: dict[str, str] = {}

    def start(self, *names: str) -> None:
        self.children |= dict.fromkeys(names, "")

    def stop(self, *names: str) -> None:
        for name in names:
            del self.children[name]

    def is_up(self) -> bool:
        return self.children.keys() == set(NAMES)


def item(path: str, *fixtures: str) -> Any:
    return SimpleNamespace(nodeid=f"{path}::test_something", fixturenames=fixtures)


USES = item("tests/journeys/test_served_files.py", "stack", "running_stack")
BESIDE = item("tests/journeys/test_scale_out.py")
OTHER, THIRD = item("tests/lake/test_walk.py"), item("tests/lake/test_terms.py", "db")


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that a test of the journeys has started."""
    made = Stack()
    monkeypatch.setattr(running, "_started", [])
    monkeypatch.setattr(running, "_last_group", [])
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    running.follow(USES)
    made.start(*NAMES)
    running._started.append(made)  # type: ignore[arg-type]
    return made


def test_stack_rests_while_other_groups_run_and_is_there_for_its_own(stack: Stack) -> None:
    running.follow(BESIDE)
    assert stack.is_up()
    for other in (OTHER, THIRD):
        running.follow(other)
        assert not stack.children
    running.follow(USES)
    assert stack.is_up()


def test_stack_stays_where_one_process_runs_all_tests(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    running.follow(OTHER)
    assert stack.is_up()
