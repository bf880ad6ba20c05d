"""The readers of the environment: the values that they accept, and their errors for all others."""

import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import pyamqp

from evermuse import env, server_urls
from evermuse.env import ConfigurationError


@pytest.fixture(autouse=True)
def _no_embedded_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EVERMUSE_HOME", str(tmp_path))
    env._embedded.cache_clear()
    yield
    env._embedded.cache_clear()


def test_process_environment_wins_over_file_and_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from file\n")
    monkeypatch.setenv("X_FILE", str(secret))
    assert env.text("X") == "from file"
    monkeypatch.setenv("X", "from environment")
    assert env.text("X") == "from environment"


def test_file_of_the_embedded_stack_wins_over_the_default_only(tmp_path: Path) -> None:
    assert env.text("X", "default") == "default"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "environment.json").write_text(json.dumps({"X": "embedded"}))
    env._embedded.cache_clear()
    assert env.text("X", "default") == "embedded"


def test_error_of_a_missing_setting_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="X is not set"):
        env.text("X")


def test_error_of_an_unreadable_secret_file_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_FILE", "/nowhere/at/all")
    with pytest.raises(ConfigurationError, match="X_FILE: cannot read /nowhere/at/all"):
        env.text("X")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("", False), ("false", False)])
def test_flag_accepts_the_usual_words_for_true_and_false(
    monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    monkeypatch.setenv("X", text)
    assert env.flag("X", default=not value) is value


@pytest.mark.parametrize(
    ("text", "message"), [("ten", "X must be a whole number, not 'ten'"), ("0", "X must be at least 1, not 0")]
)
def test_error_of_a_bad_number_names_variable_and_rule(
    monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("X", text)
    with pytest.raises(ConfigurationError, match=message):
        env.integer("X", 5, minimum=1)


def test_error_of_a_bad_flag_names_variable_and_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "maybe")
    with pytest.raises(ConfigurationError, match="X must be true or false, not 'maybe'"):
        env.flag("X", default=True)


def test_import_paths_of_apps_may_name_modules_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ["deploy.examples.languages", "deploy.examples.languages.apps.LanguagesConfig", "json"]
    monkeypatch.setenv("X", ", ".join(paths))
    assert env.import_paths("X") == paths


@pytest.mark.parametrize(
    "path",
    [
        "deploy.examples.langages",
        "deploy.exmples.languages",
        "dploy",
        "deploy.examples.languages.aps.LanguagesConfig",
        "json.tool.a.b",
        ".x",
        "x..y",
        "deploy/examples",
    ],
)
def test_error_of_an_import_path_that_leads_nowhere_names_variable_path_and_rule(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("X", f"json,{path}")
    with pytest.raises(ConfigurationError) as raised:
        env.import_paths("X")
    assert str(raised.value).startswith(f"X: {path!r} cannot be found")
    assert str(raised.value).endswith("write import paths, separated by commas")


def test_networks_are_read_and_bad_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "127.0.0.0/8, fd00::/8,")
    assert env.networks("X") == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    monkeypatch.setenv("X", "127.0.0.1/8")
    with pytest.raises(ConfigurationError, match=r"X: '127\.0\.0\.1/8' is not a network"):
        env.networks("X")


def test_database_url_becomes_django_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://us%40er:p%2Fw@db.example:5433/name")
    assert env.database() == {
        "NAME": "name", "USER": "us@er", "PASSWORD": "p/w", "HOST": "db.example", "PORT": "5433",
    }  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", "mysql://x/y")
    with pytest.raises(ConfigurationError, match="DATABASE_URL must begin with postgresql://"):
        env.database()


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("sslmode=verify-full&sslrootcert=/etc/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"}),
        ("ssl=true", {"sslmode": "require"}),
        ("connect_timeout=9&application_name=other", {"connect_timeout": "9", "application_name": "other"}),
        ("options=-c%20work_mem%3D8MB", {"options": "-c work_mem=8MB"}),
    ],
)
def test_parameters_of_a_database_url_reach_the_connection(
    monkeypatch: pytest.MonkeyPatch, query: str, options: dict[str, str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:p@db.example/name?{query}")
    assert env.database()["OPTIONS"] == options


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://u@a:5432,b:5433/name?target_session_attrs=read-write", "a,b", "5432,5433"),
        ("postgresql://u@/name?host=/var/run/postgresql", "/var/run/postgresql", ""),
        ("postgresql://u@%2Fvar%2Frun/name", "/var/run", ""),
        ("postgresql://u@[::1]:5433/name", "::1", "5433"),
    ],
)
def test_database_url_may_name_several_hosts_a_socket_or_an_ipv6_address(
    monkeypatch: pytest.MonkeyPatch, url: str, host: str, port: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    found = env.database()
    assert (found["HOST"], found["PORT"], found["NAME"]) == (host, port, "name")


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        ("DATABASE_URL", "postgresql://u:secret@h/n?sslmod=require", "DATABASE_URL has the parameter 'sslmod'"),
        (
            "DATABASE_URL",
            "postgresql://u:secret@h/n?client_encoding=latin1",
            "DATABASE_URL has the parameter 'client_e",
        ),
        ("DATABASE_URL", "postgresql://u:secret@h/n?sslmode=yes", "DATABASE_URL has sslmode='yes': it must be one of"),
        ("DATABASE_URL", "postgresql://u:secret%zz@h/n", "DATABASE_URL cannot be read: write postgresql://user"),
        ("DATABASE_URL", "postgresql://u:secret@h:99999/n", "DATABASE_URL must name a port from 1 to 65535"),
        ("DATABASE_URL", "postgresql://u:secret@[h/n", "DATABASE_URL is not a URL"),
        ("REDIS_URL", "rediss://:secret@h/0?ssl_cert_req=none", "REDIS_URL has the parameter 'ssl_cert_req'"),
        (
            "REDIS_URL",
            "redis://:secret@h/0?ssl_cert_reqs=none",
            "REDIS_URL has the parameter 'ssl_cert_reqs', which needs",
        ),
        (
            "REDIS_URL",
            "rediss://:secret@h/0?ssl_cert_reqs=maybe",
            "REDIS_URL has the parameter 'ssl_cert_reqs', which mu",
        ),
        ("REDIS_URL", "redis://:secret@h/0?socket_timeout=60", "REDIS_URL has the parameter 'socket_timeout'"),
        ("REDIS_URL", "redis://:secret@h/name", "REDIS_URL must name the database by its number"),
        ("REDIS_URL", "amqp://u:secret@h", "REDIS_URL must begin with redis://"),
        ("REDIS_URL", "redis://:secret@h:x/1", "REDIS_URL must name a port"),
        ("CELERY_BROKER_URL", "sqs://u:secret@h", "CELERY_BROKER_URL must begin with"),
        (
            "CELERY_BROKER_URL",
            "redis://:secret@h/0?visibility_timeout=1",
            "CELERY_BROKER_URL has the parameter 'visibil",
        ),
        (
            "CELERY_BROKER_URL",
            "amqps://u:secret@h?ssl_cert_reqs=none",
            "CELERY_BROKER_URL has the parameter 'ssl_cert_r",
        ),
        ("CELERY_BROKER_URL", "amqp://u:secret@a;redis://b", "CELERY_BROKER_URL must name brokers of one kind"),
        (
            "CELERY_BROKER_URL",
            "amqp://u:secret@a?ssl_ca_certs=/a",
            "CELERY_BROKER_URL has the parameter 'ssl_ca_certs'",
        ),
        (
            "CELERY_BROKER_URL",
            "amqps://u:secret@a?ssl_ca_certs=/a;amqps://b",
            "CELERY_BROKER_URL must give all brokers",
        ),
        ("MINIO_ENDPOINT", "https://store.example", "MINIO_ENDPOINT must be host:port, without https://"),
    ],
)
def test_bad_server_url_is_rejected_in_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, message: str
) -> None:
    readers = {
        "DATABASE_URL": server_urls.database, "REDIS_URL": server_urls.redis, "CELERY_BROKER_URL": server_urls.broker,
        "MINIO_ENDPOINT": server_urls.endpoint,
    }  # fmt: skip
    monkeypatch.setenv(name, url)
    with pytest.raises(ConfigurationError) as refused:
        env.read(name, "", readers[name])
    assert str(refused.value).startswith(message)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "key"),
    [("rediss://h/0", "ssl_cert_reqs"), ("amqps://u:p@h//", "cert_reqs")],
)
def test_broker_certificate_is_verified_unless_the_url_disables_it(url: str, key: str) -> None:
    tls = server_urls.broker(url)[1]
    assert tls is not None
    assert tls[key] == ssl.CERT_REQUIRED
    assert server_urls.broker("redis://h/0") == ("redis://h/0", None)
    given = Connection("rediss://h/0?ssl_cert_reqs=none", ssl=tls)
    assert isinstance(given.ssl, dict)
    assert given.ssl["ssl_cert_reqs"] == ssl.CERT_NONE  # in kombu, the URL's own parameter wins


def test_each_of_several_brokers_must_show_the_certificate_of_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    url, tls = server_urls.broker("amqps://u:p@one.example//;amqps://u:p@two.example//")
    expected: list[str] = []

    class Recorder:
        def __init__(self, **options: Any) -> None:
            expected.append(dict(**options["ssl"])["server_hostname"])

        def connect(self) -> None:
            """Opens no connection."""

    assert tls is not None
    connection = Connection(url, ssl=tls, failover_strategy="round-robin")
    monkeypatch.setattr(pyamqp.Transport, "Connection", Recorder)
    for _ in range(2):
        connection.transport.establish_connection()
        connection.maybe_switch_next()
    assert expected == ["one.example", "two.example"]


def test_mail_server_url_becomes_django_settings(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_error_of_a_bad_mail_server_url_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("X", url)
    with pytest.raises(ConfigurationError, match=message):
        env.mail_server("X")


def test_setting_that_is_read_twice_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "_described", {})
    env.integer("X", 5, help="A number.")
    env.integer("X", 6, help="Another text.")
    env.flag("Y", default=True, help="A flag.", shown="as X")
    env.text("Z", "not described")
    env.describe("W", "1", "Read by a command.")
    assert [tuple(one) for one in env.described()] == [
        ("X", "5", "A number.", None),
        ("Y", "true", "A flag.", "as X"),
        ("W", "1", "Read by a command.", None),
    ]
    assert {"X", "Y", "Z", "W"} <= env.names_read()
