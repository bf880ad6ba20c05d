"""Typed readers of the environment. Only this module decides where a setting comes from.

A value is looked up in the process environment, then in the file that ``NAME_FILE`` names (for secrets), then in the
file that the embedded stack leaves at ``$EVERMUSE_HOME/run/environment.json``. So ``manage.py`` works with the servers
that ``make run`` started, without any configuration.

A reader that meets a wrong value notes the fault in `evermuse.setting_table` and returns the default, so that the others are
read too. `refuse_faults` then reports all of them.
"""

import ipaddress
import json
import os
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from evermuse import mail_settings, server_urls, setting_table
from evermuse.server_urls import Unusable
from evermuse.setting_table import Setting

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})
# The most that a number without a maximum of its own may be, by the end of its name. Days are cut off where they are used.
# Timeouts of sockets are counted in milliseconds with 32 bits, and a size must fit into a bigint.
LARGEST = {"_SECONDS": 2_000_000, "_BYTES": 2**62, "_DAYS": None}
LARGEST_COUNT = 2**31 - 1

_T = TypeVar("_T")


class ConfigurationError(Exception):
    """Settings that cannot be used. One line for each: the variable, the shape of its value, and the fix."""


def home() -> Path:
    """The directory of the embedded stack's state."""
    return Path(os.environ.get("EVERMUSE_HOME") or Path(__file__).resolve().parent.parent / "var").resolve()


@cache
def _embedded() -> dict[str, str]:
    path = home() / "run" / "environment.json"
    try:
        values = json.loads(path.read_text())
    except OSError:
        # Not there, not ours, or a name that no file system takes.
        return {}
    except ValueError:
        values = None
    if not isinstance(values, dict):
        setting_table.refuse(str(path), f"{path} is not what `make run` writes: remove it, and start `make run` again")
        return {}
    return {str(name): str(value) for name, value in values.items()}


def is_set(name: str) -> bool:
    """Whether ``name`` has a non-empty value from any source."""
    return bool(text(name, ""))


def refuse_faults() -> None:
    """Raise ConfigurationError with all faults that the readers have noted."""
    if found := setting_table.faults():
        raise ConfigurationError("\n".join(found.values()))


def not_set(name: str) -> str:
    """The line for a setting that is missing."""
    return f"{name} is not set (nor {name}_FILE): set it, or start the embedded stack with `make run`"


def _find(name: str) -> str | None:
    """The value from the first source that has one. An empty variable does not hide the file of its secret."""
    setting_table.note_read(name)
    given = os.environ.get(name)
    if not given and (path := os.environ.get(f"{name}_FILE")):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            reason = error.strerror
        except ValueError:
            reason = "it is not UTF-8"
        setting_table.refuse(name, f"{name}_FILE: cannot read {path}: {reason}: correct the path or the file's rights")
        return None
    return given if given is not None else _embedded().get(name)


def text(
    name: str, default: str | None = None, *, help: str = "", shown: str | None = None, read_by: str = "all"
) -> str:
    """The value of ``name``. Raises ConfigurationError if there is neither a value nor a default.

    ``help``, ``shown`` and ``read_by`` describe the setting (`Setting`). All other readers pass them on.
    """
    setting_table.declare(Setting(name, "text", default or "", help, shown, read_by))
    value = _find(name)
    if value is not None and any(unicodedata.category(one) == "Cc" for one in value):
        error = Unusable("must not contain line breaks or other control characters")
        setting_table.refuse(name, setting_table.value_fault(name, value, error))
        value = None
    if value is None and default is None:
        raise ConfigurationError(setting_table.faults().get(name) or not_set(name))
    return value if value is not None else default or ""


def read(
    name: str,
    default: str,
    parse: Callable[[str], _T],
    *,
    kind: str,
    fallback: _T | None = None,
    help: str = "",
    shown: str | None = None,
    read_by: str = "all",
) -> _T:
    """A value that a function parses, which raises Unusable. Without a usable value: ``fallback``, or else the parsed
    ``default``.
    """
    setting_table.declare(Setting(name, kind, default, help, shown, read_by))
    value = _find(name)
    if value is not None:
        try:
            return parse(value)
        except Unusable as error:
            setting_table.refuse(name, setting_table.value_fault(name, value, error))
    return parse(default) if fallback is None else fallback


def flag(name: str, default: bool, *, help: str = "", shown: str | None = None) -> bool:
    """A boolean: 1/true/yes/on or 0/false/no/off."""

    def parse(value: str) -> bool:
        if value.strip().lower() not in TRUE | FALSE:
            raise Unusable("must be true or false")
        return value.strip().lower() in TRUE

    return read(name, str(default).lower(), parse, kind="true or false", help=help, shown=shown)


def integer(
    name: str,
    default: int,
    *,
    minimum: int = 0,
    maximum: int | None = None,
    help: str = "",
    shown: str | None = None,
    read_by: str = "all",
) -> int:
    """A whole number from ``minimum`` to ``maximum``. Without a maximum it may be as large as the code can use (`LARGEST`)."""
    kind = f"whole number, at least {minimum}" if maximum is None else f"whole number from {minimum} to {maximum}"
    rule = f"must be a {kind}"
    most = LARGEST.get(f"_{name.rpartition('_')[2]}", LARGEST_COUNT) if maximum is None else maximum

    def parse(value: str) -> int:
        try:
            number = int(value.strip())
        except ValueError:
            raise Unusable(rule) from None
        if number < minimum:
            raise Unusable(rule)
        if most is not None and number > most:
            raise Unusable(rule if maximum is not None else f"{rule} and at most {most}")
        return number

    # The default may be a number that cannot be set, such as 0 for "by cores".
    return read(name, str(default), parse, kind=kind, fallback=default, help=help, shown=shown, read_by=read_by)


def port(name: str, default: int, *, help: str = "") -> int:
    """A TCP port."""
    return integer(name, default, minimum=1, maximum=65535, help=help)


def words(
    name: str,
    default: str = "",
    *,
    check: Callable[[str], None] | None = None,
    kind: str = "texts",
    help: str = "",
    shown: str | None = None,
) -> list[str]:
    """A comma-separated list. Empty parts are dropped. ``check`` raises Unusable for a part."""

    def parse(value: str) -> list[str]:
        found = [part.strip() for part in value.split(",") if part.strip()]
        if check is not None:
            for part in found:
                check(part)
        return found

    return read(name, default, parse, kind=f"{kind}, separated by commas", help=help, shown=shown)


def import_paths(name: str, *, help: str = "") -> list[str]:
    """A comma-separated list of modules, or of classes in modules. They are looked up, but not imported."""
    return words(name, check=_check_import_path, kind="import paths", help=help)


def _check_import_path(path: str) -> None:
    rule = "write import paths, separated by commas"
    try:
        is_there = _module_exists(path) or _is_in_module(path)
    except (ImportError, ValueError) as error:
        raise Unusable(f"has {path!r}, which cannot be found ({error}): {rule}") from None
    if not is_there:
        raise Unusable(f"has {path!r}, which cannot be found: {rule}")


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

    def parse(value: str) -> tuple[Network, ...]:
        found: list[Network] = []
        for number, part in enumerate((part.strip() for part in value.split(",")), start=1):
            try:
                found += [ipaddress.ip_network(part)] if part else []
            except ValueError as error:
                has_bits = "host bits" in str(error)
                why = "has bits set behind its prefix" if has_bits else "is not a network"
                raise Unusable(f"must be networks in CIDR form, such as 10.0.0.0/8: number {number} {why}") from None
        return tuple(found)

    return read(name, "", parse, kind="networks in CIDR form, separated by commas", help=help)


def choice(name: str, default: str, values: Sequence[str], *, help: str = "", shown: str | None = None) -> str:
    """One of ``values``, in any case."""
    kind = f"one of {', '.join(value.lower() for value in values)}"

    def parse(value: str) -> str:
        if value.strip().upper() not in values:
            raise Unusable(f"must be {kind}")
        return value.strip().upper()

    return read(name, default, parse, kind=kind, help=help, shown=shown)


def http_url(name: str, default: str = "", *, help: str = "", shown: str | None = None) -> str:
    """An address that begins with ``http://`` or ``https://``, or nothing."""
    return read(name, default, server_urls.optional_http, kind="http:// or https:// address", help=help, shown=shown)


DATABASE_KIND = "postgresql:// URL"


def database(name: str = "DATABASE_URL", *, help: str = "") -> dict[str, Any]:
    """Django's connection settings from ``postgresql://user:password@host:port/name?sslmode=…``
    (`server_urls.database`).

    If the variable is not set, placeholders are returned, so that commands that need no database (checks, migrations'
    dry run) work before anything is installed.
    """
    default = "postgresql://evermuse@127.0.0.1:5432/evermuse"
    return read(name, default, server_urls.database, kind=DATABASE_KIND, help=help, shown="embedded")


def optional_database(name: str, *, help: str = "", shown: str) -> dict[str, Any] | None:
    """Like `database`, or None if the variable is not set."""

    def parse(url: str) -> dict[str, Any] | None:
        return server_urls.database(url) if url else None

    return read(name, "", parse, kind=DATABASE_KIND, help=help, shown=shown)


def mail_server(name: str = "EVERMUSE_EMAIL_URL", *, help: str = "") -> mail_settings.MailServer:
    """The mail server of ``smtp://user:password@host:port``. ``smtp+starttls://`` upgrades the connection, ``smtps://``
    uses TLS.
    """
    return read(name, "", mail_settings.mail_server, kind="smtp:// URL", help=help, shown="`smtp://localhost`")
