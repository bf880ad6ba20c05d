"""Readers of the environment: what they take, and what they say about what they do not take."""

import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from evermuse import env
from evermuse.env import ConfigurationError


@pytest.fixture(autouse=True)
def _no_embedded_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EVERMUSE_HOME", str(tmp_path))
    env._embedded.cache_clear()
    yield
    env._embedded.cache_clear()


def test_the_process_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from file\n")
    monkeypatch.setenv("X_FILE", str(secret))
    assert env.text("X") == "from file"
    monkeypatch.setenv("X", "from environment")
    assert env.text("X") == "from environment"


def test_the_embedded_stacks_file_comes_last_before_the_default(tmp_path: Path) -> None:
    assert env.text("X", "default") == "default"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "environment.json").write_text(json.dumps({"X": "embedded"}))
    env._embedded.cache_clear()
    assert env.text("X", "default") == "embedded"


def test_a_missing_value_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="X is not set"):
        env.text("X")


def test_an_unreadable_secret_file_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_FILE", "/nowhere/at/all")
    with pytest.raises(ConfigurationError, match="X_FILE: cannot read /nowhere/at/all"):
        env.text("X")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("", False), ("false", False)])
def test_flags(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("X", text)
    assert env.flag("X", default=not value) is value


@pytest.mark.parametrize(
    ("text", "message"), [("ten", "X must be a whole number, not 'ten'"), ("0", "X must be at least 1, not 0")]
)
def test_numbers_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.setenv("X", text)
    with pytest.raises(ConfigurationError, match=message):
        env.integer("X", 5, minimum=1)


def test_a_flag_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "maybe")
    with pytest.raises(ConfigurationError, match="X must be true or false, not 'maybe'"):
        env.flag("X", default=True)


def test_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "127.0.0.0/8, fd00::/8,")
    assert env.networks("X") == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    monkeypatch.setenv("X", "127.0.0.1/8")
    with pytest.raises(ConfigurationError, match=r"X: '127\.0\.0\.1/8' is not a network"):
        env.networks("X")


def test_a_database_url_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://us%40er:p%2Fw@db.example:5433/name")
    assert env.database() == {
        "NAME": "name", "USER": "us@er", "PASSWORD": "p/w", "HOST": "db.example", "PORT": "5433",
    }  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", "mysql://x/y")
    with pytest.raises(ConfigurationError, match="DATABASE_URL must begin with postgresql://"):
        env.database()


def test_a_mail_servers_url_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.mail_server("X") == ("localhost", 25, "", "", False, False)
    monkeypatch.setenv("X", "smtp+starttls://us%40er:p%2Fw@mail.example:2525")
    assert env.mail_server("X") == ("mail.example", 2525, "us@er", "p/w", True, False)
    monkeypatch.setenv("X", "smtps://mail.example")
    assert env.mail_server("X") == ("mail.example", 465, "", "", False, True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mail.example", "X must begin with smtp://"),
        ("smtp://", "X names no host"),
        ("smtp://mail.example:x", "X: the port must be a number"),
    ],
)
def test_a_mail_servers_url_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    monkeypatch.setenv("X", url)
    with pytest.raises(ConfigurationError, match=message):
        env.mail_server("X")
