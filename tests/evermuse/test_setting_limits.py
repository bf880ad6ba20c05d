"""Numbers that the code cannot use, and names that no host has, are faults of the settings and not of the running process."""

import importlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from evermuse import env, server_urls, setting_table
from evermuse.configuration import downloads


@pytest.fixture(autouse=True)
def _own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EVERMUSE_HOME", str(tmp_path))
    monkeypatch.setattr(setting_table, "_settings", {})
    monkeypatch.setattr(setting_table, "_names", set())
    monkeypatch.setattr(setting_table, "_faults", {})
    env._embedded.cache_clear()
    yield
    env._embedded.cache_clear()


def test_every_number_except_days_has_a_greatest_value_and_its_fault_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, greatest in (("X_SECONDS", 2_000_000), ("X_BYTES", 2**62), ("X_LIMIT", 2**31 - 1)):
        monkeypatch.setenv(name, str(greatest))
        assert env.integer(name, 1, minimum=1) == greatest
        assert setting_table.faults() == {}
        monkeypatch.setenv(name, str(greatest + 1))
        assert env.integer(name, 1, minimum=1) == 1
        assert setting_table._faults.pop(name).endswith(f"must be a whole number, at least 1 and at most {greatest}")
    monkeypatch.setenv("X_DAYS", "9" * 20)
    assert env.integer("X_DAYS", 1) == int("9" * 20)


def test_upload_intent_cannot_be_valid_longer_than_the_week_that_stores_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "EVERMUSE_UPLOAD_INTENT_SECONDS"
    week = int(timedelta(days=7).total_seconds())
    for seconds, faults in ((week, 0), (week + 1, 1)):
        monkeypatch.setenv(name, str(seconds))
        importlib.reload(downloads)
        assert len(setting_table.faults()) == faults
    assert setting_table.faults()[name].endswith(f"must be a whole number from 60 to {week}")


@pytest.mark.parametrize(
    "host",
    [
        "${HOST}",
        '"store"',
        "'store'",
        "a b",
        "%",
        "é.example",
        "store\u00a0",
        "a..b",
        ".a",
        f"{64 * 'a'}.b",
        "a." * 130,
    ],
)
@pytest.mark.parametrize("url", ["redis://{}:6379/0", "http://{}/", "//{}:9000", "postgresql://u:p@{}/n"])
def test_url_with_a_host_that_no_name_can_have_is_refused_without_its_text(host: str, url: str) -> None:
    reader = {"r": server_urls.redis, "h": server_urls.optional_http, "p": server_urls.database}.get(
        url[0], lambda text: server_urls.endpoint(text[2:])
    )
    with pytest.raises(server_urls.Unusable) as refused:
        reader(url.format(host))
    assert host not in str(refused.value)


@pytest.mark.parametrize(
    "host", ["store", "store_1.internal", "10.0.0.1", "[::1]", "[fe80::1%eth0]", "xn--9ca.example", "store.", 63 * "a"]
)
def test_url_with_a_host_name_or_an_address_is_accepted(host: str) -> None:
    assert server_urls.redis(f"redis://{host}:6379/0")
    assert server_urls.endpoint(f"{host}:9000")
    assert server_urls.database(f"postgresql://u:p@{host.replace('%', '%25')}:5432/n")
