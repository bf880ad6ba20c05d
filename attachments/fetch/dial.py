"""Connections to vendors. The address is checked at the moment it is dialled, for every redirect too.

A thread that fetches several files keeps its connections. A new one costs a name lookup, two or three round trips and a
handshake, which takes longer than most files. A kept connection leads to the address that was checked some seconds ago.

HTTP/1.1 matches responses to requests only by their order. A kept connection with unread bytes is closed. Bytes that
arrive just as the next request leaves cannot be told from its response, so no connection serves the files of two
workspaces.
"""

import contextlib
import contextvars
import socket
import ssl
import time
from collections.abc import Iterator
from functools import cache

import certifi
from django.conf import settings

from attachments.download_failures import DownloadFailed, transient
from attachments.fetch import allowed_endpoints, own_servers, url_policy
from attachments.fetch.http_connection import VendorConnection
from attachments.fetch.targets import Target
from attachments.fetch.watch import Transfer
from evermuse import logs

log = logs.get(__name__)

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
# Addresses of a name that are tried in turn. More of them rarely help, and each costs time.
MAX_ADDRESSES = 4
# The connections that a thread keeps: to the vendor and to a redirect's target. Servers close idle ones after longer.
KEPT_HOSTS = 2
KEPT_SECONDS = 4.0

# This thread's transfer. Its watchdog must know the socket before the first read blocks.
current: contextvars.ContextVar[Transfer | None] = contextvars.ContextVar("transfer", default=None)


def dial(host: str, port: int) -> socket.socket:
    """Connect to an address of ``host`` that downloads may reach. Raises DownloadFailed.

    A name is refused if any of its addresses is forbidden. Clients see the failures, so these name no address and do
    not tell a closed port from a filtered one. The log does.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        log.info("download.not_resolved", host=host[:255], error=str(error)[:200])
        raise transient("DNS_FAILED", "the host's name does not resolve") from None
    addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    for _, text in addresses:
        try:
            _check(text, port)
        except DownloadFailed:
            log.warning("download.blocked", host=host[:255], address=text, port=port)
            raise
    fault: OSError | None = None
    for family, text in addresses[:MAX_ADDRESSES]:
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.settimeout(CONNECT_SECONDS)
        try:
            if transfer := current.get():
                transfer.attach(opened)
            opened.connect((text, port))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return opened
        except OSError as error:
            fault = error
            opened.close()
    log.info("download.not_connected", host=host[:255], port=port, error=str(fault)[:200])
    raise transient("CONNECT_FAILED", "no connection to the host could be made")


def _check(text: str, port: int) -> None:
    own_servers.refuse(text, port)
    try:
        url_policy.check_address(text, port, settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS)
    except DownloadFailed as refusal:
        if refusal.failure.code != "BLOCKED_ADDRESS" or not allowed_endpoints.allows(text, port):
            raise


@cache
def _trust() -> ssl.SSLContext:
    """The trusted certificates. They are read once, because reading them takes longer than fetching a small file."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _connected(target: Target) -> VendorConnection:
    """A new connection, with TLS for https."""
    opened = dial(target.host, target.port)
    try:
        if target.scheme == "https":
            # A body without a length ends with close_notify. A connection that just ends is an error.
            opened = _trust().wrap_socket(opened, server_hostname=target.host, suppress_ragged_eofs=False)
        opened.settimeout(READ_SECONDS)
    except BaseException:
        opened.close()
        raise
    return VendorConnection(opened)


Key = tuple[str, str, int]


class Connections:
    """A thread's connections, each used for one request at a time. They carry no cookies and no credentials."""

    def __init__(self) -> None:
        self._kept: dict[Key, VendorConnection] = {}
        self._workspace: int | None = None

    def serve(self, workspace: int) -> None:
        """Serve files of this workspace from now on. Connections that served another workspace are closed."""
        if workspace != self._workspace:
            self.close()
            self._workspace = workspace

    def take(self, target: Target, *, is_new: bool = False) -> VendorConnection:
        """The kept connection to a target, or a new one. Call `give_back` when the response has ended."""
        key = target.scheme, target.host, target.port
        connection = self._kept.pop(key, None)
        if connection is not None and connection.kept_at is not None:
            is_fresh = time.monotonic() - connection.kept_at <= KEPT_SECONDS
            if is_fresh and not is_new and connection.is_quiet:
                if transfer := current.get():
                    transfer.attach(connection.sock, is_kept=True)
            else:
                connection.close()
                connection = None
        while len(self._kept) >= KEPT_HOSTS:
            self._kept.pop(next(iter(self._kept))).close()
        # Keep it while it is in use too, so that `close` reaches it after any failure.
        self._kept[key] = connection = connection or _connected(target)
        return connection

    def give_back(self, connection: VendorConnection) -> None:
        """Keep a connection for the next request if its response ended properly and nothing follows it."""
        if connection.is_reusable:
            connection.kept_at = time.monotonic()
            return
        connection.close()
        self._kept = {key: kept for key, kept in self._kept.items() if kept is not connection}

    def close(self) -> None:
        """Close all connections."""
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()


_keeping: contextvars.ContextVar[Connections | None] = contextvars.ContextVar("keeping", default=None)


@contextlib.contextmanager
def keeping_connections() -> Iterator[Connections]:
    """Let this thread's downloads reuse each other's connections within the block."""
    with contextlib.closing(Connections()) as connections:
        token = _keeping.set(connections)
        try:
            yield connections
        finally:
            _keeping.reset(token)


@contextlib.contextmanager
def connections() -> Iterator[Connections]:
    """The kept connections, or new ones for this download only. After a failure all of them are closed."""
    used = _keeping.get() or Connections()
    try:
        yield used
    except BaseException:
        used.close()
        raise
    if used is not _keeping.get():
        used.close()
