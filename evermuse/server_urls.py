"""Parses URLs of PostgreSQL, Redis and the broker. Each parameter is either honoured or refused.

A parameter that a library ignores is worse than an error: if nobody reads ``sslmode=verify-full``, the connection is
not encrypted. Errors never repeat a value, because a URL may contain a password.
"""

import os
import re
import ssl
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict

from evermuse import libpq_values

# Django sets the encoding, and we never use the replication protocol.
_NOT_OURS = frozenset({"client_encoding", "replication"})
# Parameters that are separate settings in Django. The others go to libpq.
_OWN = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}

CERTIFICATE_RULES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
TLS_PARAMETERS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
# What amqp's library calls those that it takes. The certificate is always checked.
AMQP_TLS = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
_REGION = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", re.IGNORECASE)
# Other characters come from quotation marks, from a variable that was not replaced, or from a name that is not in its xn-- form.
# A label of a name has up to 63 of them, and Python refuses longer and empty ones with an error of its own.
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|(?=.*:)[0-9a-f:.]+(%[a-z0-9._-]+)?",
    re.IGNORECASE | re.ASCII,
)
BAD_HOST = "names a host with characters or an empty part that no host name has: correct it"
_TIMEOUTS = "their time-outs are set by the application"


class Unusable(ValueError):
    """A URL that cannot be used. The text continues the variable's name: "must begin with …"."""


def database(url: str) -> dict[str, Any]:
    """Django's connection settings from a libpq URL. Parameters that Django has no setting for are in ``OPTIONS``."""
    if urlsplit_of(url).scheme not in {"postgres", "postgresql"}:
        raise Unusable("must begin with postgresql://")
    query = url.partition("#")[0].partition("?")[2]
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} | {"ssl"}
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise Unusable(f"has the parameter {name!r}, which PostgreSQL's client does not know: remove or correct it")
        if name in _NOT_OURS:
            raise Unusable(f"has the parameter {name!r}, which the application sets itself: remove it")
    try:
        found: dict[str, Any] = conninfo_to_dict(url)
    except ProgrammingError:
        raise Unusable(
            "cannot be read: write postgresql://user:password@host:port/name?sslmode=require, "
            "with special characters of the password percent-encoded"
        ) from None
    _check_values(found)
    options = {name: value for name, value in found.items() if name not in _OWN}
    settings = {name: str(found.get(part) or "") for part, name in _OWN.items()}
    if not settings["NAME"] and "service" not in options:
        settings["NAME"] = "evermuse"
    return {**settings, "OPTIONS": options} if options else settings


def _check_values(found: dict[str, Any]) -> None:
    for port in filter(None, str(found.get("port", "")).split(",")):
        if not _is_port(port):
            raise Unusable("must name a port from 1 to 65535")
    for host in filter(None, str(found.get("host", "")).split(",")):
        # Those with a slash or an @ are sockets.
        if host[0] not in "/@" and not _HOST.fullmatch(host):
            raise Unusable(BAD_HOST)
    if wrong := libpq_values.fault(found):
        raise Unusable(wrong)


def redis(url: str) -> str:
    """A URL that ``redis.from_url`` honours completely: ``redis://``, ``rediss://`` with TLS parameters, or
    ``unix://``.
    """
    parts = urlsplit_of(url)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise Unusable("must begin with redis://, rediss:// or unix://")
    if parts.scheme == "unix" and not parts.path:
        raise Unusable("must name the socket's path: unix:///run/redis.sock?db=1")
    if parts.scheme != "unix":
        check_server(parts)
        _check_number(parts.path.strip("/"))
    for name, value in _parameters(parts):
        if name == "db":
            _check_number(value)
        else:
            _check_tls(parts, name, value)
    return url


class BrokerTLS(dict[str, Any]):
    """Options of TLS for several brokers.

    If ``server_hostname`` is None, kombu puts the host's name into this same dictionary when it connects
    (kombu.transport.pyamqp). It would then expect the first broker's certificate of the second one. So this always reads as
    None there, and the unpacked options, which amqp gets, have the name of the last host.
    """

    def __getitem__(self, name: str) -> Any:
        return None if name == "server_hostname" else super().__getitem__(name)


def broker(url: str) -> tuple[str, dict[str, Any] | None]:
    """The broker's URL, and Celery's ``broker_use_ssl`` for it.

    Kombu does not check the certificate unless it is asked to (kombu.Connection for ``rediss``, amqp.transport for
    ``amqps``). Several URLs of one kind may be given, separated by ``;``.
    """
    schemes, files = set(), []
    for one in url.split(";"):
        parts = urlsplit_of(one.strip())
        if parts.scheme not in {"redis", "rediss", "amqp", "amqps", "pyamqp"}:
            raise Unusable("must begin with redis://, rediss://, amqp:// or amqps://")
        schemes.add(parts.scheme)
        check_server(parts)
        if parts.scheme in {"redis", "rediss"}:
            _check_number(parts.path.strip("/"))
        files.append({AMQP_TLS[name]: value for name, value in _parameters(parts) if name in AMQP_TLS})
        for name, value in _parameters(parts):
            if parts.scheme not in {"rediss", "amqps"} or (parts.scheme == "amqps" and name not in AMQP_TLS):
                raise Unusable(f"has the parameter {name!r}, which has no effect there: remove it")
            _check_tls(parts, name, value)
    if len(schemes) > 1:
        raise Unusable("must name brokers of one kind")
    if schemes == {"rediss"}:
        return url, {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    if schemes == {"amqps"}:
        if any(given != files[0] for given in files):
            raise Unusable("must give all brokers the same ssl_ca_certs, ssl_certfile and ssl_keyfile")
        # The library takes no parameters in the URL.
        plain = ";".join(one.strip().partition("?")[0] for one in url.split(";"))
        return plain, BrokerTLS(cert_reqs=ssl.CERT_REQUIRED, server_hostname=None, **files[0])
    return url, None


def endpoint(text: str) -> str:
    """``host`` or ``host:port`` of an object store."""
    parts = urlsplit_of(f"//{text}")
    if "://" in text or not parts.hostname or parts.path or parts.query or parts.fragment or "@" in text:
        raise Unusable("must be host:port, without https:// and without a path")
    check_server(parts)
    return text


def optional_http(url: str) -> str:
    """An address that begins with ``http://`` or ``https://``, or nothing."""
    if url:
        parts = urlsplit_of(url)
        if parts.scheme not in {"http", "https"}:
            raise Unusable("must begin with http:// or https://")
        if any(one.isspace() for one in url):
            raise Unusable("must not contain spaces")
        check_server(parts)
    return url


def link(url: str) -> str:
    """A link's target: an address that begins with ``http://`` or ``https://``, or a path on the page's own server."""
    if url[:1] != "/":
        return optional_http(url)
    if url.startswith(("//", "/\\")):
        raise Unusable("must begin with http:// or https://, or be a path with one / in front")
    if any(one.isspace() for one in url):
        raise Unusable("must not contain spaces")
    return url


def check_endpoint(text: str) -> None:
    """Raise Unusable unless a text is ``host`` or ``host:port``."""
    try:
        endpoint(text)
    except Unusable:
        raise Unusable("must be host:port, without https:// and without a path, separated by commas") from None


def check_host_name(text: str) -> None:
    """Raise Unusable unless a text is a host as Django matches it: a name, an address, ``.example.com`` or ``*``."""
    if "://" in text or "/" in text or any(one.isspace() for one in text):
        raise Unusable("must be host names without https:// and without a path, separated by commas")
    is_ipv6 = text.startswith("[") and text.endswith("]")
    if ":" in text and not is_ipv6:
        raise Unusable("must be host names without ports, separated by commas; write an IPv6 address in [ ]")
    if text != "*" and not _HOST.fullmatch(text.strip("[]").removeprefix(".")):
        raise Unusable("must be host names of ASCII letters, digits, dots and hyphens, separated by commas")


def check_origin(text: str) -> None:
    """Raise Unusable unless a text is an origin, such as ``https://ingest.example``."""
    parts = urlsplit_of(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
        raise Unusable("must be origins such as https://ingest.example, without a path, separated by commas")
    # Django takes a wildcard for the names below a domain.
    check_server(parts._replace(netloc=parts.netloc.removeprefix("*.")))


def host_name(text: str) -> str:
    """The name of one host, or nothing."""
    if text:
        check_host_name(text)
    if "*" in text or "," in text:
        raise Unusable("must be one host name")
    return text


def region(text: str) -> str:
    """The name of an S3 region, or nothing."""
    if text and not _REGION.fullmatch(text):
        raise Unusable("must be the name of a region, such as eu-central-1: letters, digits, - and _")
    return text


def urlsplit_of(url: str) -> SplitResult:
    """The parts of a URL. Raises Unusable if Python cannot parse it."""
    try:
        return urlsplit(url)
    except ValueError:
        raise Unusable("is not a URL") from None


def _parameters(parts: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(parts.query, keep_blank_values=True)


def check_server(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:
        raise Unusable("must name a port from 1 to 65535") from None
    if not parts.hostname:
        raise Unusable("names no host")
    if not _HOST.fullmatch(parts.hostname):
        raise Unusable(BAD_HOST)


def _check_number(text: str) -> None:
    if text and not (text.isascii() and text.isdigit()):
        raise Unusable("must name the database by its number, such as /1")


def _check_tls(parts: SplitResult, name: str, value: str) -> None:
    if name not in TLS_PARAMETERS:
        raise Unusable(f"has the parameter {name!r}, which cannot be honoured: remove it ({_TIMEOUTS})")
    if parts.scheme not in {"rediss", "amqps"}:
        raise Unusable(f"has the parameter {name!r}, which needs rediss://")
    if name in TLS_FILES and not os.access(value, os.R_OK):
        raise Unusable(f"has the parameter {name!r}, whose file cannot be read: correct its path or its rights")
    if name == "ssl_cert_reqs" and value not in CERTIFICATE_RULES:
        raise Unusable(f"has the parameter {name!r}, which must be one of {', '.join(CERTIFICATE_RULES)}")
    if name == "ssl_check_hostname" and value.lower() not in {"true", "false"}:
        raise Unusable(f"has the parameter {name!r}, which must be true or false")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535
