"""Fixtures that most tests share."""

import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from django.test import Client, override_settings
from django.utils.crypto import get_random_string
from hypothesis import HealthCheck, settings

from deploy.local.embedded import Servers
from ingest.clients import api_keys, workspaces
from ingest.models import Workspace
from tests.http_client import ApiClient
from tests.journeys.running import follow, running_stack, stack
from tests.journeys.stack import MIGRATED

# All journeys, including those in the browser, share one stack of processes with its own database.
__all__ = ["running_stack", "stack"]

# By default, Hypothesis fails an example that takes more than 200 ms, and a test whose examples are generated slowly. On a
# loaded machine that happens to any test.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and every process of the tests would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before each test, and before its fixtures."""
    follow(item)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """New passwords get a cheap hash: the product's takes a third of a second of processor time for each password.

    Processes that tests start have the product's hashers, for example web in the journeys of the browser, which log in.
    """
    cheap = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[cheap, *django_settings.PASSWORD_HASHERS]):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(servers: Servers) -> None:
    """Makes pytest-django start the database server first."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, servers: Servers) -> None:
    """pytest-django's, and a copy of the migrated database, for the stack of the journeys."""
    source = connection.settings_dict["NAME"]
    address, _, unused = servers.environment["DATABASE_URL"].rpartition("/")
    if source == unused:  # no test of this run needs a database
        return
    connections.close_all()
    with psycopg.connect(f"{address}/postgres", autocommit=True) as postgres:
        postgres.execute(f"CREATE DATABASE {MIGRATED} TEMPLATE {source}".encode())
    with psycopg.connect(f"{address}/{MIGRATED}", autocommit=True) as postgres:
        # Each database has an identity of its own.
        postgres.execute("DELETE FROM lake_restoremark")


@pytest.fixture
def workspace(db: None) -> Workspace:
    """A workspace with ``prod-abc`` and its ``proj-123`` and ``proj-456``."""
    return workspaces.ensure(name=f"test-{get_random_string(8)}", products=[("prod-abc", ["proj-123", "proj-456"])])


@pytest.fixture
def new_client(workspace: Workspace) -> Callable[..., ApiClient]:
    """Makes clients with a new key each: ``new_client(permissions=…, source=…, rate_limit=…)``."""

    def make(*, of: Workspace = workspace, **options: object) -> ApiClient:
        options = {"label": get_random_string(8), "rate_limit": 0} | options
        made = api_keys.create(workspace=of, **options)  # type: ignore[arg-type]
        return ApiClient(Client(), made.secret)

    return make


@pytest.fixture
def api(new_client: Callable[..., ApiClient]) -> ApiClient:
    """A client whose key may read and write, without a rate limit."""
    return new_client()


@pytest.fixture
def other_workspace(db: None) -> Iterator[Workspace]:
    """Another tenant, with the same product and project ids."""
    return workspaces.ensure(name=f"other-{get_random_string(8)}", products=[("prod-abc", ["proj-123"])])  # type: ignore[return-value]
