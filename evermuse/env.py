"""Typed readers of the environment. Only this module decides where a setting comes from.

A value is looked up in the process environment, then in the file that ``NAME_FILE`` names (for secrets), then in the
file that the embedded stack leaves at ``$EVERMUSE_HOME/run/environment.json``. So ``manage.py`` works with the servers
that ``make run`` started, without any configuration.
"""

import ipaddress
import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from evermuse import server_urls

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Setting(NamedTuple):
    """A setting as the documentation describes it. ``shown``: the text for a default that depends on other things."""

    name: str
    default: str
    help: str
    shown: str | None = None


_asked: set[str] = set()
_described: dict[str, Setting] = {}


_PATHS_RULE = "write import paths, separated by commas"


class ConfigurationError(Exception):
    """A setting that cannot be used. The message names the variable and the rule."""


def home() -> Path:
    """The directory of the embedded stack's state."""
    return Path(os.environ.get("EVERMUSE_HOME") or Path(__file__).resolve().parent.parent / "var").resolve()


@cache
def _embedded() -> dict[str, str]:
    try:
        values = json.loads((home() / "run" / "environment.json").read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    return {str(name): str(value) for name, value in values.items()}


def is_set(name: str) -> bool:
    """Whether ``name`` has a non-empty value from any source."""
    return bool(text(name, ""))


def names_read() -> frozenset[str]:
    """The names of all variables that have been read."""
    return frozenset(_asked)


def described() -> tuple[Setting, ...]:
    """The settings that have been read with a description, in the order of their first reading."""
    return tuple(_described.values())


def describe(name: str, default: str, help: str, *, shown: str | None = None) -> None:
    """Describe a setting that a command or the embedded stack reads itself."""
    _asked.add(name)
    _described.setdefault(name, Setting(name, default, help, shown))


def text(name: str, default: str | None = None, *, help: str = "", shown: str | None = None) -> str:
    """The value of ``name``. Raises ConfigurationError if there is neither a value nor a default.

    ``help`` and ``shown`` describe the setting (`Setting`). All other readers pass them on.
    """
    _asked.add(name)
    if help:
        _described.setdefault(name, Setting(name, default or "", help, shown))
    if name in os.environ:
        return os.environ[name]
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ConfigurationError(f"{name}_FILE: cannot read {path}: {error.strerror}") from error
    value = _embedded().get(name, default)
    if value is None:
        raise ConfigurationError(
            f"{name} is not set (nor {name}_FILE); start the embedded stack with `make run` or set it"
        )
    return value


def flag(name: str, default: bool, *, help: str = "", shown: str | None = None) -> bool:
    """A boolean: 1/true/yes/on or 0/false/no/off."""
    value = text(name, str(default).lower(), help=help, shown=shown).strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off", ""}:
        return False
    raise ConfigurationError(f"{name} must be true or false, not {value!r}")


def integer(name: str, default: int, *, minimum: int = 0, help: str = "") -> int:
    """A whole number of at least ``minimum``."""
    value = text(name, str(default), help=help).strip()
    try:
        number = int(value)
    except ValueError:
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}") from None
    if number < minimum:
        raise ConfigurationError(f"{name} must be at least {minimum}, not {number}")
    return number


def words(name: str, default: str = "", *, help: str = "", shown: str | None = None) -> list[str]:
    """A comma-separated list. Empty parts are dropped."""
    return [part.strip() for part in text(name, default, help=help, shown=shown).split(",") if part.strip()]


def import_paths(name: str, *, help: str = "") -> list[str]:
    """A comma-separated list of modules, or of classes in modules. They are looked up, but not imported."""
    found = words(name, help=help)
    for path in found:
        try:
            is_there = _module_exists(path) or _is_in_module(path)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"{name}: {path!r} cannot be found ({error}); {_PATHS_RULE}") from None
        if not is_there:
            raise ConfigurationError(f"{name}: {path!r} cannot be found; {_PATHS_RULE}")
    return found


def _module_exists(path: str) -> bool:
    parent, _, _ = path.rpartition(".")
    # Only a package holds modules.
    return (not parent or _is_package(parent)) and find_spec(path) is not None


def _is_in_module(path: str) -> bool:
    """Whether a path may name a class, such as ``app.apps.AppConfig``."""
    module, _, name = path.rpartition(".")
    return bool(module) and _module_exists(module) and (name[:1].isupper() or not _is_package(module))


def _is_package(path: str) -> bool:
    found = find_spec(path)
    return found is not None and found.submodule_search_locations is not None


def networks(name: str, *, help: str = "") -> tuple[Network, ...]:
    """A comma-separated list of CIDRs."""
    found: list[Network] = []
    for part in words(name, help=help):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ConfigurationError(f"{name}: {part!r} is not a network in CIDR form: {error}") from None
    return tuple(found)


def choice(name: str, default: str, values: Sequence[str], *, help: str = "", shown: str | None = None) -> str:
    """One of ``values``, in any case."""
    value = text(name, default, help=help, shown=shown).strip().upper()
    if value not in values:
        raise ConfigurationError(f"{name} must be one of {', '.join(values)}, not {value!r}")
    return value


_T = TypeVar("_T")


def read(name: str, default: str, parse: Callable[[str], _T], *, help: str = "", shown: str | None = None) -> _T:
    """A value that a function of `server_urls` parses."""
    try:
        return parse(text(name, default, help=help, shown=shown))
    except server_urls.Unusable as error:
        raise ConfigurationError(f"{name} {error}") from None


def database(name: str = "DATABASE_URL", *, help: str = "") -> dict[str, Any]:
    """Django's connection settings from ``postgresql://user:password@host:port/name?sslmode=…``
    (`server_urls.database`).

    If the variable is not set, placeholders are returned, so that commands that need no database (checks, migrations'
    dry run) work before anything is installed. The first query then fails with PostgreSQL's own message.
    """
    default = "postgresql://evermuse@127.0.0.1:5432/evermuse"
    return read(name, default, server_urls.database, help=help, shown="embedded")


def direct_database(name: str = "DATABASE_DIRECT_URL", *, help: str = "") -> dict[str, Any] | None:
    """Like `database`, or None if the variable is not set."""
    return read(name, "", lambda url: server_urls.database(url) if url else None, help=help, shown="`DATABASE_URL`")


def replica_database(name: str = "DATABASE_REPLICA_URL", *, help: str = "") -> dict[str, Any] | None:
    """Like `database`, or None if the variable is not set."""
    return read(name, "", lambda url: server_urls.database(url) if url else None, help=help, shown="none")


class MailServer(NamedTuple):
    """Django's ``EMAIL_*`` settings."""

    host: str
    port: int
    user: str
    password: str
    starttls: bool
    tls: bool


def mail_server(name: str = "EVERMUSE_EMAIL_URL", *, help: str = "") -> MailServer:
    """The mail server of ``smtp://user:password@host:port``. ``smtp+starttls://`` upgrades the connection, ``smtps://``
    uses TLS.
    """
    parts = urlsplit(text(name, "", help=help, shown="`smtp://localhost`") or "smtp://localhost")
    ports = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
    if parts.scheme not in ports:
        raise ConfigurationError(f"{name} must begin with smtp://, smtp+starttls:// or smtps://")
    try:
        port = parts.port or ports[parts.scheme]
    except ValueError:
        raise ConfigurationError(f"{name}: the port must be a number from 1 to 65535") from None
    if not parts.hostname:
        raise ConfigurationError(f"{name} names no host")
    return MailServer(
        unquote(parts.hostname),
        port,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.scheme == "smtp+starttls",
        parts.scheme == "smtps",
    )
