"""A pytest plugin that spreads the tests over several processes (`pytest -n 2`). Each process has servers of its own.

The tests of a file run in one process. So do all journeys, and all tests in the browser, because starting the stack is
expensive.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

# Their tests take the longest, so they are begun first. Otherwise the other processes would wait for them at the end.
GROUPS = {"tests/journeys/": "journeys", "tests/browser/": "browser", "tests/docs/test_examples.py": "browser"}
LONG = ("tests/deploy/test_make_run.py", "tests/ingest/admin/test_confidential.py", "tests/attachments/test_alone.py")


def group(nodeid: str) -> str:
    """Tests of the same group run in the same process."""
    path = nodeid.partition("::")[0]
    return next((name for start, name in GROUPS.items() if path.startswith(start)), path)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's scheduling of scopes, with our groups as its scopes."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """xdist's hook: how tests are given to processes."""
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Move the longest groups to the front. The order within a group, and without xdist, is left alone."""
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    first = ("journeys", "browser", *LONG)
    name = group(item.nodeid)
    return first.index(name) if name in first else len(first)
