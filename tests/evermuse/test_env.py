"""The readers of the environment: the values that they accept, and their errors for all others."""

import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import pyamqp

from evermuse import env, mail_settings, server_urls, setting_table
from evermuse.env import ConfigurationError


@pytest.fixture(autouse=True)
def _no_embedded_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No embedded stack, and an empty table of settings."""
    monkeypatch.setenv("EVERMUSE_HOME", str(tmp_path))
    for name, empty in (("_settings", {}), ("_names", set()), ("_faults", {})):
        monkeypatch.setattr(setting_table, name, empty)
    env._embedded.cache_clear()
    yield
    env._embedded.cache_clear()


def fault() -> str:
    """The only fault that the readers have noted."""
    [line] = setting_table.faults().values()
    return line


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
    assert env.text("X", "") == ""
    assert (
        fault()
        == "X_FILE: cannot read /nowhere/at/all: No such file or directory: correct the path or the file's rights"
    )


def test_empty_variable_does_not_hide_the_file_of_its_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compose gives unset variables an empty value."""
    (tmp_path / "secret").write_text("from file")
    monkeypatch.setenv("X_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("X", "")
    assert env.text("X") == "from file"


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_broken_file_of_the_embedded_stack_is_a_fault_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run" / "environment.json"
    path.parent.mkdir()
    path.write_bytes(content)
    assert env.text("X", "default") == "default"
    assert fault().startswith(f"{path} is not what `make run` writes: remove it")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("", False), ("false", False)])
def test_flag_accepts_the_usual_words_for_true_and_false(
    monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    monkeypatch.setenv("X", text)
    assert env.flag("X", default=not value) is value


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("ten", "3 characters: letters"), ("0", "1 character: digits"), ("10", "2 characters: digits"), ("", "empty"),
        ("5 s", "3 characters: letters and digits and spaces"),
        ("'5'", "3 characters: digits and others, in quotation marks"),
    ],
)  # fmt: skip
def test_fault_of_a_bad_number_has_the_shape_of_its_value_and_the_rule(
    monkeypatch: pytest.MonkeyPatch, text: str, shape: str
) -> None:
    monkeypatch.setenv("X", text)
    assert env.integer("X", 5, minimum=1, maximum=9) == 5
    assert fault() == f"X ({shape}) must be a whole number from 1 to 9"


def test_number_may_have_a_default_that_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.integer("X", 0, minimum=1) == 0
    monkeypatch.setenv("X", "0")
    assert env.integer("X", 0, minimum=1) == 0
    assert fault() == "X (1 character: digits) must be a whole number, at least 1"


def test_error_of_a_bad_flag_names_variable_and_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "maybe")
    assert env.flag("X", default=True) is True
    assert fault() == "X (5 characters: letters) must be true or false"


def test_fault_of_a_bad_choice_lists_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "web")
    assert env.choice("X", "STORE", ("STORE", "WEB")) == "WEB"
    monkeypatch.setenv("X", "shop")
    assert env.choice("X", "STORE", ("STORE", "WEB")) == "STORE"
    assert fault() == "X (4 characters: letters) must be one of store, web"


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
    assert env.import_paths("X") == []
    assert fault().partition(") ")[2].startswith(f"has {path!r}, which cannot be found")
    assert fault().endswith("write import paths, separated by commas")


def test_networks_are_read_and_bad_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "127.0.0.0/8, fd00::/8,")
    assert env.networks("X") == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    monkeypatch.setenv("X", "10.0.0.0/8,127.0.0.1/8")
    assert env.networks("X") == ()
    assert fault().endswith(
        "must be networks in CIDR form, such as 10.0.0.0/8: number 2 has bits set behind its prefix"
    )


def test_database_url_becomes_django_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://us%40er:p%2Fw@db.example:5433/name")
    assert env.database() == {
        "NAME": "name", "USER": "us@er", "PASSWORD": "p/w", "HOST": "db.example", "PORT": "5433",
    }  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", "mysql://x/y")
    assert env.database()["HOST"] == "127.0.0.1"
    assert fault() == "DATABASE_URL (11 characters: letters and others) must begin with postgresql://"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("sslmode=verify-full&sslrootcert=/dev/null", {"sslmode": "verify-full", "sslrootcert": "/dev/null"}),
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
        (
            "DATABASE_URL",
            "postgresql://u:secret@h/n?sslmode=yes",
            "DATABASE_URL has the parameter 'sslmode', which must be one of disable",
        ),
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
            "amqps://u:secret@a?ssl_ca_certs=/dev/null;amqps://b",
            "CELERY_BROKER_URL must give all brokers",
        ),
        (
            "CELERY_BROKER_URL",
            "amqps://u:secret@a?ssl_ca_certs=/nowhere",
            "CELERY_BROKER_URL has the parameter 'ssl_ca_certs', whose file cannot be read",
        ),
        (
            "REDIS_URL",
            "rediss://:secret@a?ssl_keyfile=/nowhere",
            "REDIS_URL has the parameter 'ssl_keyfile', whose file cannot be read",
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
    assert env.read(name, "", lambda text: readers[name](text) if text else None, kind="URL") is None
    variable, _, rest = fault().partition(" (")
    assert f"{variable} {rest.partition(') ')[2]}".startswith(message)
    assert f"({len(url)} characters" in fault()
    assert "secret" not in fault()
    assert "\n" not in fault()


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
        ("mail.example", "must begin with smtp://"),
        ("smtp://", "names no host"),
        ("smtp://mail.example:x", "must name a port from 1 to 65535"),
    ],
)
def test_error_of_a_bad_mail_server_url_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("X", url)
    assert env.mail_server("X").host == "localhost"
    assert fault().partition(") ")[2].startswith(message)


@pytest.mark.parametrize("target", ["", "/flower", "/ops/flower/", "https://flower.example:8443/x"])
def test_target_of_a_link_may_be_a_path_or_a_whole_address(target: str) -> None:
    assert server_urls.link(target) == target


@pytest.mark.parametrize(
    "target", ["flower", "javascript:alert(1)", "//flower.example", "/\\flower.example", "/a b", "http://"]
)
def test_target_of_a_link_is_refused_if_it_is_neither_path_nor_whole_address(target: str) -> None:
    with pytest.raises(server_urls.Unusable):
        server_urls.link(target)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (server_urls.check_host_name, ["a.example", ".example", "*", "10.0.0.1", "[::1]"], ["https://a", "a:80", "a/b", "::1", "${A}", '"a"', "é"]),
        (server_urls.check_origin, ["https://a.example", "http://a:80", "https://*.example"], ["a.example", "https://a/b", "//a", "https://a:x"]),
        (mail_settings.check_mail_address, ["ops@a.example"], ["ops", "ops@", "Ops <ops@a.example>"]),
        (server_urls.check_endpoint, ["store", "store:9000", "[::1]:9000"], ["http://store", "store/x", "store:0x", "u@store"]),
    ],
)  # fmt: skip
def test_each_part_of_a_list_is_checked_and_a_bad_one_is_not_repeated(
    check: Callable[[str], None], good: list[str], bad: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", ", ".join(good))
    assert env.words("X", check=check) == good
    assert setting_table.faults() == {}
    for number, part in enumerate(bad):
        monkeypatch.setenv(f"X{number}", f"{good[0]},{part}")
        assert env.words(f"X{number}", check=check) == []
        assert part not in setting_table.faults()[f"X{number}"].replace("https://ingest.example", "")


@pytest.mark.parametrize("text", ["a\nb", "\x01", "a\x7f", "line\r"])
def test_text_with_a_line_break_or_another_control_character_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", text)
    assert env.text("X", "default") == "default"
    [fault] = setting_table.faults().values()
    assert fault.startswith("X (") and fault.endswith("must not contain line breaks or other control characters")


@pytest.mark.parametrize("text", ["ops@example.com", "Evermuse <ingest@example.com>", "evermuse@localhost"])
def test_sender_of_mail_is_an_address_with_or_without_a_name(text: str) -> None:
    assert mail_settings.sender(text) == text


def test_empty_sender_of_mail_is_the_default() -> None:
    assert mail_settings.sender("") == mail_settings.SENDER


@pytest.mark.parametrize("text", ["ops", " ", "Evermuse <>", "a@b, c@d", "a@b\nBcc: c@d"])
def test_text_that_is_no_sender_of_mail_is_refused(text: str) -> None:
    with pytest.raises(server_urls.Unusable, match="must be an e-mail address"):
        mail_settings.sender(text)


def test_all_faults_are_raised_together_one_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    env.refuse_faults()
    for name in ("X", "Y"):
        monkeypatch.setenv(name, "maybe")
        env.flag(name, default=False)
        env.flag(name, default=False)
    with pytest.raises(ConfigurationError) as raised:
        env.refuse_faults()
    rest = "(5 characters: letters) must be true or false"
    assert str(raised.value).splitlines() == [f"X {rest}", f"Y {rest}"]


def test_table_has_a_row_with_type_default_and_reader_for_each_setting() -> None:
    env.integer("X", 5, help="A number.")
    env.integer("X", 6, help="Another text.")
    env.flag("Y", default=True, help="A flag.", shown="as X")
    env.text("Z", "not described")
    env.text("W", "1", help="Read by a command.", read_by="bootstrap")
    assert [tuple(one) for one in setting_table.rows()] == [
        ("X", "whole number, at least 0", "5", "A number.", None, "all"),
        ("Y", "true or false", "true", "A flag.", "as X", "all"),
        ("W", "text", "1", "Read by a command.", None, "bootstrap"),
    ]
    assert setting_table.names() == {"X", "Y", "Z", "W"}
