"""A pytest plugin that spreads the tests over several processes (`pytest -n 2`). Each process has servers of its own.

The tests of a file run in one process. So do all tests of a group that share a stack, because starting it is expensive.
The journeys are two groups: they mostly wait, and one process would be at them longer than all others at the rest.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

# The first beginning of a path that fits gives the group.
GROUPS = {
    "tests/journeys/test_faults.py": "faults",
    "tests/journeys/test_neighbours.py": "faults",
    "tests/journeys/": "journeys",
    "tests/browser/": "browser",
    "tests/docs/test_examples.py": "browser",
}
# What takes the longest is begun first. Otherwise the other processes would wait for it at the end.
FIRST = (
    "faults",
    "journeys",
    "browser",
    "tests/deploy/test_make_run.py",
    "tests/deploy/test_backup.py",
    "tests/ingest/admin/test_confidential.py",
    "tests/attachments/test_alone.py",
    "tests/deploy/test_previous_release.py",
    "tests/deploy/test_recipes.py",
    "tests/evermuse/test_tls_servers.py",
    "tests/evermuse/test_rabbitmq.py",
    "tests/evermuse/test_start_check.py",
    "tests/evermuse/client/test_package.py",
    "tests/ingest/test_changed_since.py",
    "tests/ingest/test_migrations.py",
)


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


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names no test after compressed or encrypted bytes: if they differ between two processes, no test would run."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


def _rank(item: pytest.Item) -> int:
    name = group(item.nodeid)
    return FIRST.index(name) if name in FIRST else len(FIRST)
