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
from typing import Any, TypeVar

from django.conf import settings
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.poolmanager import PoolManager
from urllib3.util.ssl_ import create_urllib3_context

from attachments import url_policy
from attachments.failures import DownloadFailed, transient
from attachments.watch import Transfer

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
# Tried one after the other; more say nothing new and only cost time.
MAX_ADDRESSES = 4
# A thread's connections: to the vendor and to where it redirects. Servers close what is idle for longer than this.
KEPT_HOSTS = 2
KEPT_SECONDS = 4.0

E = TypeVar("E", bound=BaseException)

# The transfer that this thread is at: its watchdog must know the socket before the first byte is waited for.
current: contextvars.ContextVar[Transfer | None] = contextvars.ContextVar("transfer", default=None)


def dial(host: str, port: int) -> socket.socket:
    """A connected socket to an address of ``host`` that may be reached. Raises DownloadFailed.

    One forbidden address among several forbids the name: it is not ours to pick the harmless one.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise transient("DNS_FAILED", f"the name {host} does not resolve: {error}") from None
    addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    for _, text in addresses:
        url_policy.check_address(text, port, settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS)
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
    raise transient("CONNECT_FAILED", f"cannot connect to {host} port {port}: {fault}")


class _Checked:
    """Replaces how urllib3 opens a socket; proxies and source addresses play no part."""

    _dns_host: str
    port: int

    def _new_conn(self) -> socket.socket:
        try:
            return dial(self._dns_host, self.port)
        except DownloadFailed as refusal:
            # urllib3 lets only its own errors through unharmed; the reason rides on one of them.
            error = NewConnectionError(self, str(refusal))  # type: ignore[arg-type]
            raise error from refusal


class _CheckedHTTP(_Checked, HTTPConnection):
    pass


class _CheckedHTTPS(_Checked, HTTPSConnection):
    pass


def _is_unread(sock: socket.socket) -> bool:
    """Whether TLS holds bytes that nobody read: urllib3 sees those that are still in the socket."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


class _Keeps:
    """What a pool does with a connection between two requests."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if connection.sock is not None:
            if time.monotonic() - connection.kept_at > KEPT_SECONDS or _is_unread(connection.sock):
                connection.close()  # it dials anew when it is used
            elif transfer := current.get():
                transfer.attach(connection.sock, is_kept=True)
        return connection

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.kept_at = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]


class _HTTPPool(_Keeps, HTTPConnectionPool):
    ConnectionCls = _CheckedHTTP


class _HTTPSPool(_Keeps, HTTPSConnectionPool):
    ConnectionCls = _CheckedHTTPS


class _CheckedPoolManager(PoolManager):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that are trusted, read once a process: reading them costs more than a small file."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


class CheckedAdapter(HTTPAdapter):
    """requests' adapter on checked connections, for one thread: no retries, no proxies, no session.

    Without a session nothing of the environment plays a part, and no cookie or credential is carried anywhere.
    """

    def __init__(self) -> None:
        super().__init__(pool_connections=KEPT_HOSTS, pool_maxsize=1, max_retries=0)
        self._workspace: int | None = None

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        self.poolmanager = _CheckedPoolManager(
            num_pools=connections, maxsize=maxsize, block=block, ssl_context=_trust(), **kwargs
        )

    def serve(self, workspace: int) -> None:
        """The next files are of this workspace: connections of another one end here."""
        if workspace != self._workspace:
            self.close()
            self._workspace = workspace

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:
        """The certificates to trust are in the shared context already."""
        conn.cert_reqs = "CERT_REQUIRED"


_keeping: contextvars.ContextVar[CheckedAdapter | None] = contextvars.ContextVar("keeping", default=None)


@contextlib.contextmanager
def keeping() -> Iterator[CheckedAdapter]:
    """Within the block this thread's downloads use the connections of those before."""
    with contextlib.closing(CheckedAdapter()) as adapter:
        token = _keeping.set(adapter)
        try:
            yield adapter
        finally:
            _keeping.reset(token)


@contextlib.contextmanager
def adapter() -> Iterator[CheckedAdapter]:
    """The one that keeps connections, or one for this download alone. What failed leaves no connection behind."""
    used = _keeping.get() or CheckedAdapter()
    try:
        yield used
    except BaseException:
        used.close()
        raise
    if used is not _keeping.get():
        used.close()


def behind(error: BaseException, kind: type[E] | tuple[type[E], ...]) -> E | None:
    """An error of a kind, found behind the ones that urllib3 and requests wrapped around it."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        at = waiting.pop()
        if isinstance(at, kind):
            return at
        if id(at) in seen:
            continue
        seen.add(id(at))
        inner = [at.__cause__, at.__context__, getattr(at, "reason", None), *at.args]
        waiting += [one for one in inner if isinstance(one, BaseException)]
    return None
