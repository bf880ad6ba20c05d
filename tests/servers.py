"""A pytest plugin, loaded before Django's settings: PostgreSQL, Valkey and SeaweedFS for this test run.

Ports and passwords are chosen at once, so that the settings can name them; the servers start when the first test asks.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.embedded import Servers
from tests.added_apps import added_apps
from tests.guard import Guard
from tests.parts import chosen
from tests.share import yield_to_the_product

# With several processes of tests there is none left for the product's.
if "PYTEST_XDIST_WORKER" in os.environ:
    yield_to_the_product()

ROOT = Path(tempfile.mkdtemp(prefix="evermuse-tests-"))
_guard = Guard(ROOT)
# The processes of one run (xdist names them gw0, gw1, …) choose ports at the same time, so each has its own share.
_number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# The machine does not crash between a commit and its check; tests that kill PostgreSQL need no more than this.
_servers = Servers(ROOT / "servers", accept=lambda port: port % _processes == _number, is_durable=False)

for _name in [name for name in os.environ if name.startswith(("EVERMUSE_", "MINIO_"))]:
    del os.environ[_name]
os.environ.update(_servers.environment)
os.environ.update(
    {
        "EVERMUSE_HOME": str(ROOT / "home"),
        "EVERMUSE_SECRET_KEY": "tests-" + "0" * 50,
        "EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS": "127.0.0.0/8",
        "EVERMUSE_APPS": ",".join(added_apps(Path(__file__).resolve().parent.parent)),
        "EVERMUSE_ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
        "DJANGO_SETTINGS_MODULE": "evermuse.settings",
    }
)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The three servers, ready."""
    chosen.replace(_servers)
    for name in ("seaweedfs", "postgres", "valkey"):
        _servers.start(name)
    for name in ("postgres", "valkey", "seaweedfs"):
        _servers.wait_ready(name)
    yield _servers
    _servers.stop_all()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops everything."""
    _servers.stop_all()
    _guard.close()
