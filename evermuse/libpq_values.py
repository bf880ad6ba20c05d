"""Values of connection parameters that libpq only refuses when it connects. They are refused when a URL is read instead: a process
that started with them would log a server that is away, and wait for ever.
"""

import ipaddress
import os
from typing import Any

from psycopg import pq
from psycopg.conninfo import make_conninfo

CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
}
# Whole numbers, and the greatest that libpq takes.
NUMBERS = (
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
)
MAX_NUMBER = 2**31 - 1
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# A directory that does not exist. A connection through a socket in it fails at once, after all values have been looked at.
_NOWHERE = "/nonexistent"
_REFUSED_THERE = "connection to server "


def fault(parameters: dict[str, Any]) -> str | None:
    """What is wrong with the parameters of a connection, in words that continue the setting's name, or None. No value is repeated."""
    values = {name: str(value) for name, value in parameters.items()}
    return (
        _wrong_choice(values)
        or _wrong_number(values)
        or _wrong_address(values)
        or _missing_file(values)
        or _refused(values)
    )


def _wrong_choice(values: dict[str, str]) -> str | None:
    for name, allowed in CHOICES.items():
        if values.get(name, allowed[0]) not in allowed:
            return f"has the parameter {name!r}, which must be one of {', '.join(allowed)}"
    return None


def _wrong_number(values: dict[str, str]) -> str | None:
    for name in NUMBERS:
        text = values.get(name, "0")
        if not (text.isascii() and text.isdigit() and int(text) <= MAX_NUMBER):
            return f"has the parameter {name!r}, which must be a whole number, at most {MAX_NUMBER}"
    return None


def _wrong_address(values: dict[str, str]) -> str | None:
    for address in filter(None, values.get("hostaddr", "").split(",")):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return "has the parameter 'hostaddr', which must be IP addresses, separated by commas"
    hosts, addresses, ports = (len(values.get(name, "").split(",")) for name in ("host", "hostaddr", "port"))
    if "hostaddr" in values and "host" in values and hosts != addresses:
        return "must name as many addresses in 'hostaddr' as hosts"
    if ports not in (1, max(hosts, addresses)):
        return "must name one port for all hosts, or one for each"
    return None


def _missing_file(values: dict[str, str]) -> str | None:
    for name in FILES:
        path = values.get(name, "")
        is_file = path and not (name == "sslrootcert" and path == "system") and not (name == "sslkey" and ":" in path)
        if is_file and not os.access(path, os.R_OK):
            return f"has the parameter {name!r}, whose file cannot be read: correct its path or its rights"
    return None


def _refused(values: dict[str, str]) -> str | None:
    """The parameter that libpq refuses, found by asking it without any network."""
    # It refuses a good `require` on a socket. The places of a service are replaced by ours.
    left = {name: value for name, value in values.items() if name not in {"host", "hostaddr", "port", "gssencmode"}}
    if not _is_refused(left):
        return None
    for name in left:
        if not _is_refused({other: value for other, value in left.items() if other != name}):
            return f"has the parameter {name!r} with a value that PostgreSQL's client refuses: correct it"
    return "has several parameters with values that PostgreSQL's client refuses: correct them"


def _is_refused(values: dict[str, str]) -> bool:
    probe = pq.PGconn.connect_start(make_conninfo("", **{**values, "host": _NOWHERE}).encode())
    try:
        return not probe.error_message.decode(errors="replace").startswith(_REFUSED_THERE)
    finally:
        probe.finish()
