"""Our own servers. Downloads never dial them, even if an operator allows their networks for vendors.

These servers trust whoever reaches them. They are recognised by address and port. The names in settings are resolved
when a download is about to dial the same port.
"""

import contextlib
import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from attachments.download_failures import final
from attachments.fetch import url_policy
from attachments.fetch.url_policy import Address
from evermuse import store_address
from evermuse.celery import BROKER_URL

PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "pyamqp": 5672, "amqps": 5671, "http": 80, "https": 443}
POSTGRESQL_PORT = 5432
RESOLVED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server that a setting names. ``is_shared``: vendors' files may be served at its public address too (S3, a
    proxy).
    """

    host: str
    port: int
    is_shared: bool = False


def refuse(text: str, port: int) -> None:
    """Raise DownloadFailed (final) if the address that is about to be dialled is one of our own servers."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if any(_is_at(server, address) for server in configured() if server.port == port):
        raise final("BLOCKED_ADDRESS", "downloads from the host's address are not allowed")


def configured() -> Iterator[OwnServer]:
    """All servers that settings name, including those of EVERMUSE_OWN_SERVERS."""
    for database in settings.DATABASES.values():
        yield from _of_database(database)
    for url in (settings.REDIS_URL, *BROKER_URL.split(";")):
        yield from _of_url(urlsplit(url.strip()), is_shared=False)
    for endpoint, is_secure in (
        (settings.MINIO_ENDPOINT, settings.MINIO_SECURE),
        (settings.MINIO_PUBLIC_ENDPOINT, settings.MINIO_PUBLIC_SECURE),
    ):
        scheme = "https" if is_secure else "http"
        yield from _of_url(urlsplit(f"{scheme}://{endpoint}"), is_shared=True)
        # The bucket may have a host name of its own.
        with contextlib.suppress(ValueError):
            host = store_address.of_bucket(endpoint, is_secure=is_secure).host
            yield from _of_url(urlsplit(f"{scheme}://{host}"), is_shared=True)
    for url in (settings.MINIO_ROLE_ENDPOINT, settings.EVERMUSE_FLOWER_URL):
        yield from _of_url(urlsplit(url), is_shared=True)
    for server in settings.EVERMUSE_OWN_SERVERS:
        yield from _of_url(urlsplit(f"//{server}"), is_shared=False)


def _of_database(database: dict[str, Any]) -> Iterator[OwnServer]:
    hosts = str(database.get("HOST") or "localhost").split(",")
    ports = str(database.get("PORT") or POSTGRESQL_PORT).split(",")
    for number, host in enumerate(hosts):
        port = ports[number if number < len(ports) else 0] or POSTGRESQL_PORT
        if not host.startswith("/"):
            yield OwnServer(host, int(port))


def _of_url(parts: SplitResult, *, is_shared: bool) -> Iterator[OwnServer]:
    with contextlib.suppress(ValueError):
        port = parts.port or PORTS.get(parts.scheme)
        if parts.hostname and port:
            yield OwnServer(parts.hostname, port, is_shared)


def _is_at(server: OwnServer, address: Address) -> bool:
    found = _resolved(server.host)
    meant = {address, url_policy.disguised(address)}
    is_ours_here = any(_is_local(one) for one in meant)
    if meant & found:
        return is_ours_here or not (server.is_shared and url_policy.is_public(address))
    # A server that listens on this machine is reached by all of its addresses, also 127.0.0.2 and 0.0.0.0.
    return is_ours_here and any(_is_local(one) for one in found)


_lock = threading.Lock()
_known: dict[str, tuple[float, frozenset[Address]]] = {}


def _resolved(host: str) -> frozenset[Address]:
    """The addresses of a name. If it does not resolve now, those of the last time."""
    now = time.monotonic()
    with _lock:
        at, found = _known.get(host, (None, frozenset()))
    if at is not None and now - at < RESOLVED_SECONDS:
        return found
    with contextlib.suppress(OSError, UnicodeError):
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        found = frozenset(ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers)
    with _lock:
        _known[host] = (now, found)
    return found


def _is_local(address: Address) -> bool:
    """Whether an address leads to this machine: loopback, unspecified, or one of its interfaces."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        # A link-local address cannot be bound without its interface. Treat it as ours.
        return error.errno == errno.EINVAL
    return True
