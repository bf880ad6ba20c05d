"""Connections that dial only an address which was checked: on every hop, whatever a name resolves to the second time.

While a thread fetches one file after the other it keeps its connections: a new one costs a name, two or three round trips
and a handshake, for most files more than the file. A kept one leads where it led when it was checked, some seconds ago.

HTTP/1.1 matches answers to requests by their order alone. A kept connection on which something waits that nobody
asked for is closed; what comes just as the next request leaves, no client can tell from the answer. So no connection
serves the files of two workspaces.
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

from attachments.failures import DownloadFailed, transient
from attachments.fetch import allowed_endpoints, own_servers, url_policy
from attachments.fetch.http_connection import Connection
from attachments.fetch.targets import Target
from attachments.fetch.watch import Transfer
from evermuse import logs

log = logs.get(__name__)

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
# Tried one after the other; more say nothing new and only cost time.
MAX_ADDRESSES = 4
# A thread's connections: to the vendor and to where it redirects. Servers close what is idle for longer than this.
KEPT_HOSTS = 2
KEPT_SECONDS = 4.0

# The transfer that this thread is at: its watchdog must know the socket before the first byte is waited for.
current: contextvars.ContextVar[Transfer | None] = contextvars.ContextVar("transfer", default=None)


def dial(host: str, port: int) -> socket.socket:
    """A connected socket to an address of ``host`` that may be reached. Raises DownloadFailed.

    One forbidden address among several forbids the name: it is not ours to pick the harmless one. Failures are shown to
    clients: they name no address, and do not tell a closed port from a filtered one. The log does.
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
    own_servers.check(text, port)
    try:
        url_policy.check_address(text, port, settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS)
    except DownloadFailed as refusal:
        if refusal.failure.code != "BLOCKED_ADDRESS" or not allowed_endpoints.is_allowed(text, port):
            raise


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that are trusted, read once a process: reading them costs more than a small file."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _connected(target: Target) -> Connection:
    """A new connection, with TLS where the scheme wants it."""
    opened = dial(target.host, target.port)
    try:
        if target.scheme == "https":
            # The end of a body without a length is its close_notify: a connection that just ends is an error.
            opened = _trust().wrap_socket(opened, server_hostname=target.host, suppress_ragged_eofs=False)
        opened.settimeout(READ_SECONDS)
    except BaseException:
        opened.close()
        raise
    return Connection(opened)


Key = tuple[str, str, int]


class Connections:
    """A thread's connections, each used for one request after the other. No cookie or credential is carried anywhere."""

    def __init__(self) -> None:
        self._kept: dict[Key, Connection] = {}
        self._workspace: int | None = None

    def serve(self, workspace: int) -> None:
        """The next files are of this workspace: connections of another one end here."""
        if workspace != self._workspace:
            self.close()
            self._workspace = workspace

    def take(self, target: Target, *, is_new: bool = False) -> Connection:
        """The kept connection to a target, or a new one. `give_back` it when its answer has ended."""
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
        # Among the kept ones while it is in use, so that whatever fails closes it too.
        self._kept[key] = connection = connection or _connected(target)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request, if its answer came to its end and nothing behind it."""
        if connection.is_reusable:
            connection.kept_at = time.monotonic()
            return
        connection.close()
        self._kept = {key: kept for key, kept in self._kept.items() if kept is not connection}

    def close(self) -> None:
        """End all of them."""
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()


_keeping: contextvars.ContextVar[Connections | None] = contextvars.ContextVar("keeping", default=None)


@contextlib.contextmanager
def keeping() -> Iterator[Connections]:
    """Within the block this thread's downloads use the connections of those before."""
    with contextlib.closing(Connections()) as connections:
        token = _keeping.set(connections)
        try:
            yield connections
        finally:
            _keeping.reset(token)


@contextlib.contextmanager
def connections() -> Iterator[Connections]:
    """Those that are kept, or new ones for this download alone. What failed leaves no connection behind."""
    used = _keeping.get() or Connections()
    try:
        yield used
    except BaseException:
        used.close()
        raise
    if used is not _keeping.get():
        used.close()
